"""Carrier words, number shapes and check digits."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shipfwd import carriers, digits

PUBLIC = """
    inpost dpd dhl gls ups fedex poczta-polska pocztex orlen packeta allegro-one dhl-express tnt
    royal-mail evri deutsche-post hermes db-schenker raben geis suus meest usps postnl
"""


@pytest.mark.parametrize("slug", PUBLIC.split())
def test_public_slugs_stay(slug):
    assert carriers.NAMES[slug]
    assert carriers.fold(slug) == slug


def test_every_name_and_slug_folds_to_its_own_slug():
    for slug, title in carriers.NAMES.items():
        assert carriers.fold(slug) == slug
        assert carriers.fold(title) == slug
        assert carriers.fold(title.upper()) == slug
        assert carriers.name(slug) == title


def test_no_word_means_two_carriers():
    owners: dict[str, set[str]] = {}
    for slug, title, _, words in carriers._CARRIERS:
        for word in (slug, title, *words.split(",")):
            if word.strip():
                assert carriers.letters(word), word
                owners.setdefault(carriers.letters(word), set()).add(slug)
    assert [word for word, slugs in owners.items() if len(slugs) > 1] == []


@pytest.mark.parametrize(
    ("word", "slug"),
    [
        ("Paczkomaty InPost", "inpost"),
        ("InPost Kurier", "inpost"),
        ("INPOST", "inpost"),
        ("In Post", "inpost"),
        ("InPost Sp. z o.o.", "inpost"),
        ("  inpost_paczkomaty ", "inpost"),
        ("Paczkomaty 24/7", "inpost"),
        ("DPD Polska", "dpd"),
        ("DPD Polska Sp. z o.o.", "dpd"),
        ("Kurier DPD", "dpd"),
        ("Siódemka", "dpd"),
        ("DHLPL", "dhl"),
        ("DHL Parcel Polska", "dhl"),
        ("DHL Express", "dhl-express"),
        ("DHL eCommerce", "dhl-ecommerce"),
        ("GLS Poland", "gls"),
        ("UPS", "ups"),
        ("United Parcel Service", "ups"),
        ("Fed Ex", "fedex"),
        ("Poczta Polska S.A.", "poczta-polska"),
        ("POCZTA_POLSKA", "poczta-polska"),
        ("pocztaPolska", "poczta-polska"),
        ("Polish Post", "poczta-polska"),
        ("Pocztex Kurier 48", "pocztex"),
        ("Pocztex 2.0", "pocztex"),
        ("Orlen Paczka", "orlen"),
        ("ORLEN", "orlen"),
        ("RUCH", "orlen"),
        ("Paczka w Ruchu", "orlen"),
        ("Zásilkovna", "packeta"),
        ("PACKETA", "packeta"),
        ("Allegro One Box", "allegro-one"),
        ("One by Allegro", "allegro-one"),
        ("TNT_EXPRESS", "tnt"),
        ("DB_SCHENKER", "db-schenker"),
        ("WE|DO", "wedo"),
        ("Österreichische Post AG", "austrian-post"),
        ("Česká pošta", "ceska-posta"),
        ("Hermes UK", "evri"),
    ],
)
def test_a_known_word_folds_to_our_slug(word, slug):
    assert carriers.fold(word) == slug


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("", ""),
        ("  ", ""),
        ("Szybka  Paczka", "szybka-paczka"),
        (" Inny\u00a0kurier\t", "inny-kurier"),
        ("Kurier", "kurier"),
        ("Polska", "polska"),
        ("???", "???"),
        ("Łódź Express", "łódź-express"),
    ],
)
def test_an_unknown_word_is_only_folded(word, folded):
    assert carriers.fold(word) == folded
    assert carriers.name(folded) == ""
    assert carriers.tracking_url(folded, "1") == ""


def test_a_tracking_url_takes_the_number_percent_encoded():
    assert carriers.tracking_url("inpost", "6200") == "https://inpost.pl/sledzenie-przesylek?number=6200"
    assert carriers.tracking_url("ups", "A/B C&x") == "https://www.ups.com/track?tracknum=A%2FB%20C%26x"
    assert carriers.tracking_url("raben", "1") == ""
    assert all(page.count("{}") == 1 and page.startswith("https://") for page in carriers._PAGES.values())


@pytest.mark.parametrize(
    ("number", "slug", "sent"),
    [
        (" 6200 2269 6408\u00a04301 1945 8408 ", "inpost", "620022696408430119458408"),
        ("1z-999-aa1-0123-4567-84", "ups", "1Z999AA10123456784"),
        ("12345\u201167890", "dhl", "1234567890"),
        ("ab-12-34", "raben", "AB-12-34"),
        ("ab\u201312", "my-van", "AB-12"),
        ("ab-12", "", "AB-12"),
        ("24xi00743314*001001", "wedo", "24XI00743314*001001"),
        ("\u200b7268757q\ufeff", "dpd", "7268757Q"),
    ],
)
def test_a_number_is_normalised_for_its_carrier(number, slug, sent):
    assert carriers.normalise(number, slug) == sent


VALID = [
    (digits.ups, "1Z5R89390357567127 1Z879E930346834440 1Z410E7W0392751591 1Z8V92A70367203024 1Z999AA10123456784"),
    (digits.s10, "RR123456785PL RB123456785GB RR000000005PL"),
    (digits.mod7, "3318810025 8487135506 1099255990 3821724944"),
    (digits.fedex, "986578788855 477179081230 799531274483 974367662710"),
    (digits.gs1, "9361289878700317633795 03071790000523483741"),
    (digits.fedex_ground, "041441760228964 568283610012000 568283610012734 9611020987654312345672"),
    (digits.mod37, "008182709980000020033350276C 008182709980000020045327276N"),
]


@pytest.mark.parametrize(("check", "number"), [(check, number) for check, many in VALID for number in many.split()])
def test_check_digits_of_real_numbers_hold_and_of_mistyped_ones_fail(check, number):
    assert check(number)
    place = 9
    typo = number[:place] + str((int(number[place], 36) + 1) % 10) + number[place + 1 :]
    assert not check(typo)


POCZTA = "00359007730000000015"


@pytest.mark.parametrize(
    ("number", "slug"),
    [
        ("620022696408430119458408", "inpost"),
        ("0000007268757Q", "dpd"),
        ("1Z999AA10123456784", "ups"),
        ("A000MJ6AG4", "allegro-one"),
        ("AD010AHGE2", "allegro-one"),
        ("AD0MF49SNM3FVRM8J", "allegro-one"),
        ("PX1234567890", "pocztex"),
        ("z1234567890", "packeta"),
        ("RR 123 456 785 PL", "poczta-polska"),
        (POCZTA, "poczta-polska"),
        ("JVGL0999999990", "dhl"),
    ],
)
def test_a_shape_of_one_carrier_alone_is_sure(number, slug):
    best = carriers.detect(number)[0]
    assert (best.carrier, best.certainty) == (slug, "sure")
    assert best.why


def test_shapes_of_several_carriers_are_only_likely_and_can_be_narrowed():
    found = carriers.detect("3401008004286")
    assert [guess.carrier for guess in found] == ["dpd", "fedex", "orlen"]
    assert {guess.certainty for guess in found} == {"likely"}
    assert [guess.carrier for guess in carriers.detect("3401008004286", ["orlen", "inpost"])] == ["orlen"]
    assert carriers.detect("3401008004286", []) == []
    assert carriers.detect("my-own-7") == []


def test_a_wrong_check_digit_rules_a_carrier_out():
    assert "ups" not in {guess.carrier for guess in carriers.detect("1Z999AA10123456785")}


@pytest.mark.parametrize(
    ("number", "slug", "says"),
    [
        ("62002269640843011945840", "inpost", "this has 23 characters"),
        ("1Z999AA10123456785", "ups", "check digit"),
        ("RR123456784GB", "royal-mail", "check digit"),
        ("AD010AHGE2", "dpd", "looks like a number of Allegro One"),
    ],
)
def test_an_odd_number_is_warned_of(number, slug, says):
    assert says in " ".join(carriers.warnings(number, slug))


@pytest.mark.parametrize(
    ("number", "slug"),
    [
        ("620022696408430119458408", "inpost"),
        ("0000007268757Q", "dpd"),
        ("1000713716065U", "dpd"),
        ("12345678901", "gls"),
        (POCZTA, "poczta-polska"),
        ("anything", "raben"),
        ("anything", "my-van"),
        ("anything", ""),
        ("1A2B3C", "royal-mail"),
        ("6231377309838", "fedex"),
        ("3401008004286", "orlen"),
    ],
)
def test_what_is_usual_or_unknown_is_not_warned_of(number, slug):
    assert carriers.warnings(number, slug) == []


@pytest.mark.parametrize(
    ("number", "slug", "says"),
    [
        ("6.20022E+23", "inpost", "digits are lost"),
        ("6,20022E+23", "", "digits are lost"),
        ("6E+23", "", "digits are lost"),
        ("1234567890.0", "dhl", "decimal"),
        ("1234567890,00", "dhl", "decimal"),
        (POCZTA[2:], "poczta-polska", "leading zeros"),
        (POCZTA[2:], "", "leading zeros"),
        (POCZTA[1:], "dpd", "leading zeros"),
        ("359007730000000014", "pocztex", "leading zeros"),
        ("7268757Q", "dpd", "leading zeros"),
    ],
)
def test_what_a_spreadsheet_did_to_a_number_is_recognised(number, slug, says):
    assert says in carriers.damage(number, slug)


@pytest.mark.parametrize(
    ("number", "slug"),
    [
        ("620022696408430119458408", "inpost"),
        (POCZTA, "poczta-polska"),
        ("7268757Q", "gls"),
        ("0000007268757Q", "dpd"),
        ("123456789012345678", ""),
        ("5E1234567", "gls"),
        ("24XI00743314*001001", "wedo"),
        ("ORD-1.0", ""),
    ],
)
def test_an_unspoilt_number_is_left_alone(number, slug):
    assert carriers.damage(number, slug) == ""


def test_importing_carriers_loads_nothing_heavy():
    code = "import sys, shipfwd.carriers; print(*sorted({'requests', 'rich', 'sqlite3', 'click'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_zeros_behind_the_15th_digit_only_warn():
    assert carriers.damage("620022696408430000000000", "inpost") == ""
    assert "15th digit" in carriers.warnings("620022696408430000000000", "inpost")[0]
