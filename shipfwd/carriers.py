"""Our carriers: public slugs, names, the words other people use for them, tracking pages and number shapes.

Slugs are public and never change. A word we do not know stays a word: nothing here guesses a carrier for a
shipment. Shapes only warn; an explicit carrier is never overridden, for shapes overlap (14 digits are DPD,
GLS or DHL, and one random 12-digit number in ten passes as FedEx).

Source: names from the carrier lists of Allegro, eBay, Etsy, Amazon, Erli, Shopify and WooCommerce; shapes from
numbers seen in public issues and from github.com/jkeen/tracking_number_data, read 2026-11. Tracking pages were
not opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from shipfwd import digits, models

_POCZTA = "https://emonitoring.poczta-polska.pl/?numer={}"

# slug, name, tracking page ("" = none known), other words; a word counts whatever its case, spaces, hyphens
# and diacritics, and with a legal form behind it ("S.A.", "Sp. z o.o.", "GmbH").
_CARRIERS = (
    ("inpost", "InPost", "https://inpost.pl/sledzenie-przesylek?number={}",
     "inpost paczkomaty, paczkomaty inpost, inpost paczkomat, paczkomat inpost, paczkomat, paczkomaty, "
     "paczkomaty 24/7, inpost paczkomaty 24/7, paczkomaty inpost 24/7, inpost paczkomat 24/7"),
    ("dpd", "DPD", "https://tracktrace.dpd.com.pl/findParcel?p1={}", "dpd pickup, siodemka, siodemka dpd"),
    ("dhl", "DHL", "https://mojadhl.dhl.com.pl/?awb={}",
     "dhl parcel, dhl poland domestic, dhl pop, dhl servicepoint, dhl ecommerce polska, dhl ecommerce poland"),
    ("gls", "GLS", "https://gls-group.eu/PL/pl/sledzenie-paczek?match={}", "general logistics systems"),
    ("ups", "UPS", "https://www.ups.com/track?tracknum={}",
     "united parcel service, ups standard, ups express, ups access point"),
    ("fedex", "FedEx", "https://www.fedex.com/fedextrack/?trknbr={}",
     "fedex express, fedex poland domestic, federal express, fedex ground, fedex smartpost"),
    ("poczta-polska", "Poczta Polska", _POCZTA, "poczta, polish post, poland post"),
    ("pocztex", "Pocztex", _POCZTA,
     "pocztex kurier 48, pocztex 48, pocztex 24, pocztex 2.0, pocztex poczta polska, poczta polska pocztex"),
    ("orlen", "ORLEN Paczka", "https://nadaj.orlenpaczka.pl/?numer={}",
     "orlen paczka, paczka orlen, ruch, paczka w ruchu, paczka ruch, orlen paczka ruch"),
    ("packeta", "Packeta", "https://tracking.packeta.com/?id={}",
     "zasilkovna, zasielkovna, packeta zasilkovna, przesylkownia"),
    ("allegro-one", "Allegro One", "https://allegro.pl/moje-allegro/zakupy/szczegoly-przesylki?numerListu={}",
     "allegro one box, one box, one by allegro, allegro one punkt, allegro one point, allegro delivery, allegro"),
    ("dhl-express", "DHL Express", "https://www.dhl.com/global-en/home/tracking/tracking-express.html?tracking-id={}",
     ""),
    ("tnt", "TNT", "", "tnt express"),
    ("wedo", "WE|DO", "", ""),
    ("ambro-express", "Ambro Express", "", "ambro, ambroexpress"),
    ("geis", "Geis", "", "geis parcel"),
    ("raben", "Raben", "", "raben group, raben logistics"),
    ("rhenus", "Rhenus Logistics", "", "rhenus"),
    ("suus", "Rohlig SUUS", "", "rohlig suus logistics, rohlig suus, suus logistics"),
    ("db-schenker", "DB Schenker", "", "schenker"),
    ("dsv", "DSV", "", "dsv road"),
    ("dts", "DTS", "", "dts24"),
    ("hellmann", "Hellmann", "", "hellmann worldwide logistics"),
    ("jas-fbg", "JAS-FBG", "", ""),
    ("patron", "Patron Service", "", "patron"),
    ("pekaes", "PEKAES", "", "geodis pekaes"),
    ("x-press", "X-press Couriers", "", "xpress couriers, x press"),
    ("meest", "Meest", "", "meest express, meest post"),
    ("europaczka", "Europaczka", "", ""),
    ("own-transport", "Own transport", "", "transport wlasny, wlasny transport, kurier wlasny, dostawa wlasna, "
     "own delivery, own courier, self delivery"),
    ("dpd-cz", "DPD Czechia", "", "dpd czech republic, dpd ceska republika"),
    ("dpd-sk", "DPD Slovakia", "", "dpd slovensko"),
    ("dpd-hu", "DPD Hungary", "", "dpd magyarorszag"),
    ("dpd-ro", "DPD Romania", "", ""),
    ("dpd-de", "DPD Germany", "", "dpd deutschland"),
    ("dpd-uk", "DPD UK", "", "dpd local, interlink, interlink express"),
    ("dpd-ie", "DPD Ireland", "", ""),
    ("dhl-de", "DHL Germany", "", "dhl paket, dhl deutschland, dhl intraship"),
    ("dhl-nl", "DHL Netherlands", "", "dhl parcel nl, dhl benelux, dhl nederland"),
    ("dhl-ecommerce", "DHL eCommerce", "", "dhl global mail, dhl e commerce"),
    ("dhl-freight", "DHL Freight", "", ""),
    ("gls-it", "GLS Italy", "", "gls italia"),
    ("gls-nl", "GLS Netherlands", "", "gls nederland"),
    ("express-one", "Express One", "", "express one hungary"),
    ("ppl", "PPL", "", "ppl cz, professional parcel logistic"),
    ("sameday", "Sameday", "", "sameday courier"),
    ("fan-courier", "FAN Courier", "", "fan"),
    ("cargus", "Cargus", "", "urgent cargus"),
    ("speedy", "Speedy", "", ""),
    ("econt", "Econt", "", ""),
    ("acs", "ACS Courier", "", "acs"),
    ("elta", "ELTA", "", "elta courier, hellenic post"),
    ("omniva", "Omniva", "", "eesti post, estonian post, omniva estonia"),
    ("venipak", "Venipak", "", ""),
    ("lp-express", "LP Express", "", "lpexpress"),
    ("lietuvos-pastas", "Lietuvos paštas", "", "lithuanian post, lithuania post"),
    ("latvijas-pasts", "Latvijas Pasts", "", "latvia post, latvian post"),
    ("nova-poshta", "Nova Poshta", "", "nova post, novaposhta"),
    ("ukrposhta", "Ukrposhta", "", "ukr poshta, ukraposhta"),
    ("ceska-posta", "Česká pošta", "https://www.postaonline.cz/trackandtrace/-/zasilka/cislo?parcelNumbers={}",
     "czech post, balikovna"),
    ("slovenska-posta", "Slovenská pošta", "", "slovak post, slovakia post"),
    ("magyar-posta", "Magyar Posta", "", "hungarian post, hungary post, mpl"),
    ("posta-romana", "Poșta Română", "", "romanian post, romania post"),
    ("bulgarian-posts", "Bulgarian Posts", "", "bulgarian post, bgpost"),
    ("hrvatska-posta", "Hrvatska pošta", "", "croatian post, hp express"),
    ("posta-slovenije", "Pošta Slovenije", "", "slovenian post"),
    ("deutsche-post", "Deutsche Post", "", "german post, deutschepost, deutsch post"),
    ("hermes", "Hermes", "", "hermes de, hermes germany, hermes logistik gruppe, hermes group"),
    ("trans-o-flex", "trans-o-flex", "", ""),
    ("austrian-post", "Österreichische Post", "", "osterreichische post ag, oesterreichische post, at post"),
    ("swiss-post", "Swiss Post", "", "die schweizerische post, schweizer post, la poste suisse"),
    ("postnl", "PostNL", "https://jouw.postnl.nl/track-and-trace/{}",
     "post nl, postnl domestic, postnl international, postnl 3s"),
    ("bpost", "bpost", "", "belgian post, belgium post, bpost international"),
    ("post-luxembourg", "POST Luxembourg", "", "luxembourg post"),
    ("colissimo", "Colissimo", "https://www.laposte.fr/outils/suivre-vos-envois?code={}",
     "la poste colissimo, la poste, laposte, coliposte"),
    ("chronopost", "Chronopost", "https://www.chronopost.fr/tracking-no-cms/suivi-page?listeNumerosLT={}",
     "chronopost france"),
    ("mondial-relay", "Mondial Relay", "", "mondialrelay, inpost mondial relay"),
    ("colis-prive", "Colis Privé", "", ""),
    ("royal-mail", "Royal Mail", "https://www.royalmail.com/track-your-item#/tracking-results/{}", ""),
    ("parcelforce", "Parcelforce", "", "parcel force, parcelforce worldwide"),
    ("evri", "Evri", "", "hermes uk, myhermes, evri hermes, myhermes uk"),
    ("yodel", "Yodel", "", "home delivery network"),
    ("an-post", "An Post", "", ""),
    ("poste-italiane", "Poste Italiane", "", "post italiano"),
    ("brt", "BRT", "", "bartolini, brt bartolini"),
    ("sda", "SDA", "", "sda express courier"),
    ("correos", "Correos", "", "correos espana, correos de espana"),
    ("correos-express", "Correos Express", "", ""),
    ("seur", "SEUR", "", "seur espana"),
    ("mrw", "MRW", "", "mrw spain"),
    ("nacex", "NACEX", "", "nacex spain"),
    ("ctt", "CTT", "", "ctt portugal, correios de portugal"),
    ("ctt-express", "CTT Express", "", "tourline"),
    ("postnord", "PostNord", "", "post nord, postnord logistics, danmark post, post nord norway, posten ab"),
    ("bring", "Bring", "", "posten norge, posten norge bring"),
    ("posti", "Posti", "", "itella, posti finland"),
    ("matkahuolto", "Matkahuolto", "", ""),
    ("ptt", "PTT", "", "ptt kargo, ptt posta, turkish post"),
    ("kuehne-nagel", "Kuehne+Nagel", "", "kn, kuhne nagel"),
    ("geodis", "GEODIS", "", "geodis calberson"),
    ("dachser", "DACHSER", "", ""),
    ("asendia", "Asendia", "", "asendia uk, asendia usa"),
    ("landmark", "Landmark Global", "", "landmark"),
    ("usps", "USPS", "https://tools.usps.com/go/TrackConfirmAction?tLabels={}",
     "us postal service, united states postal service"),
    ("ontrac", "OnTrac", "", ""),
    ("canada-post", "Canada Post", "", "postes canada"),
    ("purolator", "Purolator", "", ""),
    ("australia-post", "Australia Post", "", "auspost, aussie post"),
    ("amazon", "Amazon Logistics", "", "amazon shipping, amzl, ats, amazon logistics uk, amazon logistics us"),
    ("aramex", "Aramex", "", ""),
    ("china-post", "China Post", "", "china ems, chinapost"),
    ("japan-post", "Japan Post", "", ""),
    ("4px", "4PX", "", "4px express, four px, fourpx"),
    ("cainiao", "Cainiao", "", ""),
    ("sf-express", "SF Express", "", "shunfeng, shunfeng express"),
    ("yanwen", "Yanwen", "", "yanwen express"),
    ("yunexpress", "YunExpress", "", "yun express"),
)  # fmt: skip

NAMES: dict[str, str] = {slug: title for slug, title, _, _ in _CARRIERS}
_PAGES = {slug: page for slug, _, page, _ in _CARRIERS if page}
# What stands around a name without changing it: a legal form, Poland, the word for courier.
_AROUND = re.compile("^(?:kurier|courier)|(?:kurier|courier|polska|poland|pl|spzoo|sa|gmbh|ltd|sro|srl|inc)$")
_HYPHENS = re.compile("[\u2010-\u2015\u2212]")  # what word processors make of "-"


def letters(word: str) -> str:
    """A word as it is compared with an alias: letters and digits only, case and diacritics folded."""
    if not word.isascii():
        word = unicodedata.normalize("NFKD", word.replace("ł", "l").replace("Ł", "L"))
    return "".join(c for c in word.casefold() if c.isalnum())


@cache
def _aliases() -> dict[str, str]:
    known = {}
    for slug, title, _, words in _CARRIERS:
        for word in (slug, title, *words.split(",")):
            if key := letters(word):
                known[key] = slug
    return known


@lru_cache(maxsize=4096)
def fold(word: str) -> str:
    """Our slug for any name of a carrier; an unknown word trimmed, lower case, white space as one "-"; "" for ""."""
    known, key = _aliases(), letters(word)
    while key not in known:
        shorter = _AROUND.sub("", key, count=1)
        if shorter == key:
            return "-".join(word.split()).lower()
        key = shorter
    return known[key]


def name(slug: str) -> str:
    """Its display name; "" for an unknown word."""
    return NAMES.get(slug, "")


def tracking_url(slug: str, number: str) -> str:
    """Its public tracking page for a number; "" when we know none."""
    if slug not in _PAGES:
        return ""
    from urllib.parse import quote

    return _PAGES[slug].replace("{}", quote(number, safe=""))


# ---- shapes ---------------------------------------------------------------------------------------------


# slug → (pattern, certainty, words, check); "sure": nobody else's numbers look like that. A carrier that stands
# here has all its usual shapes here, so that a number with none of them is worth a warning.
_Check = Callable[[str], bool] | None
_SHAPES: dict[str, tuple[tuple[str, str, str, _Check], ...]] = {
    "inpost": ((r"[1-9]\d{23}", "sure", "24 digits", None), (r"0\d{23}", "likely", "24 digits", None)),
    "dpd": (
        (r"\d{13}[A-Z]", "sure", "13 digits and a letter", None),
        (r"\d{14}[A-Z]", "sure", "14 digits and a check letter", digits.mod37),
        (r"\d{14}\d", "likely", "14 digits and a check digit", digits.mod37),
        (r"\d{27}[0-9A-Z]", "sure", "27 digits and a check character", digits.mod37),
        (r"\d{13,14}", "likely", "13 or 14 digits", None),
    ),
    "dhl": (
        (r"JJD[0-9A-Z]{10,22}|JVGL[0-9A-Z]{9,20}", "sure", "JJD or JVGL and digits", None),
        (r"00340\d{15}", "sure", "20 digits from 00340", digits.gs1),
        (r"3S[0-9A-Z]{8,20}|000\d{18}|000\d{21}", "likely", "3S or 000 and digits", None),
        (r"\d{10,12}", "likely", "10 to 12 digits", None),
    ),
    "gls": (
        (r"[0-9A-Z]{8}", "likely", "8 letters and digits", None),
        (r"\d{10,12}|\d{14}|\d{20}", "likely", "10, 11, 12, 14 or 20 digits", None),
    ),
    "ups": (
        (r"1Z[0-9A-Z]{15}\d", "sure", "1Z and 16 characters", digits.ups),
        (r"[TH]\d{10}|\d{9}|\d{26}", "likely", "T or H and 10 digits, or 9 or 26 digits", None),
    ),
    "fedex": (
        (r"\d{12}", "likely", "12 digits", digits.fedex),
        (r"96\d{20}", "sure", "22 digits from 96", digits.fedex_ground),
        (r"\d{15}", "likely", "15 digits", digits.fedex_ground),
        (r"\d{13}|\d{20}|\d{34}", "likely", "13, 20 or 34 digits", None),
    ),
    "poczta-polska": (
        (r"00\d5900773\d{10}|005900773\d{11}", "sure", "20 digits with 5900773", digits.gs1),
        (r"00\d{18}", "likely", "20 digits from 00", digits.gs1),
        (r"PX\d{10}", "likely", "PX and 10 digits", None),
    ),
    "pocztex": (
        (r"PX\d{10}", "sure", "PX and 10 digits", None),
        (r"00\d{18}", "likely", "20 digits from 00", digits.gs1),
        (r"[A-Z]{2}\d{9}PL", "likely", "2 letters, 9 digits and PL", digits.s10),
    ),
    "orlen": ((r"\d{13}", "likely", "13 digits", None),),
    "packeta": ((r"Z\d{10}", "sure", "Z and 10 digits", None),),
    "allegro-one": (
        (r"A000[0-9A-Z]{6}", "sure", "A000 and 6 characters", None),
        (r"AD[0-9A-Z]{8}|AD[0-9A-Z]{15}", "sure", "AD and 8 or 15 characters", None),
    ),
    "dhl-express": (
        (r"\d{10}", "likely", "10 digits", digits.mod7),
        (r"JJD[0-9A-Z]{10,22}|JD\d{16,20}", "likely", "JD or JJD and digits", None),
    ),
    "usps": (
        (r"(?:420\d{5}(?:\d{4})?)?9[1-5]\d{20}(?:\d{4})?", "likely", "22 digits from 91 to 95", None),
        (r"[A-Z]{2}\d{9}US", "sure", "2 letters, 9 digits and US", digits.s10),
        (r"\d{20}", "likely", "20 digits", digits.gs1),
    ),
}  # fmt: skip

# Posts number their tracked letters and parcels abroad by UPU S10; the last two letters are the country.
# Their numbers at home have other shapes, which we do not know, so these never make an unknown shape a warning.
_S10_POSTS = {
    "PL": "poczta-polska", "DE": "deutsche-post", "GB": "royal-mail", "CZ": "ceska-posta", "SK": "slovenska-posta",
    "FR": "colissimo", "NL": "postnl", "BE": "bpost", "AT": "austrian-post", "CH": "swiss-post", "HU": "magyar-posta",
    "RO": "posta-romana", "BG": "bulgarian-posts", "HR": "hrvatska-posta", "SI": "posta-slovenije", "EE": "omniva",
    "LT": "lietuvos-pastas", "LV": "latvijas-pasts", "UA": "ukrposhta", "IT": "poste-italiane", "ES": "correos",
    "PT": "ctt", "IE": "an-post", "SE": "postnord", "DK": "postnord", "NO": "bring", "FI": "posti", "GR": "elta",
    "CN": "china-post", "JP": "japan-post", "CA": "canada-post", "AU": "australia-post", "TR": "ptt",
    "LU": "post-luxembourg",
}  # fmt: skip
_SHAPED = frozenset(_SHAPES) | frozenset(_S10_POSTS.values())


@cache
def _shapes(slug: str) -> tuple[tuple[Callable[[str], object], str, str, _Check], ...]:
    """A carrier's shapes, compiled when first asked for: (full match, certainty, words, check)."""
    found = list(_SHAPES.get(slug, ()))
    for country, post in _S10_POSTS.items():
        if post == slug:
            found.append((rf"[A-Z]{{2}}\d{{9}}{country}", "sure", f"2 letters, 9 digits and {country}", digits.s10))
    return tuple((re.compile(pattern, re.ASCII).fullmatch, sure, words, check) for pattern, sure, words, check in found)


@cache
def usual(slug: str) -> Callable[[str], object]:
    """A full match for the carrier's numbers that surely have no `damage` and no `warnings` and are normalised.

    Most numbers of a file are told by this one look. A check digit takes another.
    """
    shapes = "|".join(pattern for pattern, _, _, check in _SHAPES.get(slug, ()) if not check)
    if slug not in _SHAPED:
        shapes = "[0-9A-Z]{4,100}"
    digit, cut_off, poczta = r"(?=[A-Z]*\d)", r"(?!.{15}0{5,}\Z)", r"(?!\d{17,19}\Z)"
    return re.compile(f"{digit}{cut_off}{poczta}(?:{shapes or '(?!)'})", re.ASCII).fullmatch


def normalise(number: str, slug: str = "") -> str:
    """A tracking number as it is sent: no white space, upper case, no hyphens where the carrier's numbers have none.

    slug   a carrier whose numbers we do not know keeps its hyphens.
    """
    if number.isascii() and number.isalnum():
        return number.upper()
    number = _HYPHENS.sub("-", models.normalise(number))
    return number.replace("-", "") if slug in _SHAPED else number


@dataclass(frozen=True)
class Guess:
    """A carrier whose numbers look like this one. certainty: sure | likely."""

    carrier: str
    certainty: str
    why: str


def detect(number: str, among: Iterable[str] | None = None) -> list[Guess]:
    """The carriers whose numbers look like this, the surest first; a wrong check digit rules a shape out.

    among   the carriers to think of (the merchant's own); None = all.
    """
    number = normalise(number).replace("-", "")
    guesses = []
    for slug in _SHAPED.intersection(among) if among is not None else _SHAPED:
        for matches, certainty, words, check in _shapes(slug):
            if matches(number) and (check is None or check(number)):
                guesses.append(Guess(slug, certainty, words + (", check digit right" if check else "")))
                break
    order = {slug: place for place, slug in enumerate(NAMES)}
    return sorted(guesses, key=lambda guess: (guess.certainty != "sure", order[guess.carrier]))


def warnings(number: str, slug: str) -> list[str]:
    """What looks wrong with a normalised number of this carrier, one sentence each; [] also when we cannot tell."""
    if len(number) >= 20 and not number[15:].strip("0"):  # only a warning: such numbers exist
        return [f"all behind the 15th digit of {number} is 0, as when a spreadsheet cut it; look at the label"]
    if slug not in _SHAPED:
        return []
    wrong = ""
    for matches, _, words, check in _shapes(slug):
        if matches(number):
            if check is None or check(number):
                return []
            wrong = wrong or words
    if wrong:
        return [f"the check digit is wrong for a {NAMES[slug]} number of {wrong}: is a digit mistyped?"]
    if slug not in _SHAPES:
        return []
    usual = "; ".join(dict.fromkeys(words for _, _, words, _ in _shapes(slug)))
    said = [f"{NAMES[slug]} numbers look otherwise ({usual}); this has {len(number)} characters"]
    if others := [guess for guess in detect(number) if guess.certainty == "sure"]:
        said.append(f"it looks like a number of {NAMES[others[0].carrier]}: {others[0].why}")
    return said


def damage(number: str, slug: str) -> str:
    """How a spreadsheet has spoilt this normalised number, as a sentence; "" when it has not.

    slug   the carrier given, if any. Only what is certain is called damage; the rest is left to `warnings`.
    """
    if not number.isalnum():
        if re.fullmatch(r"\d[.,]\d+E[+-]?\d{1,3}|\dE\+\d{1,3}", number):
            return f"a spreadsheet shortened the number to {number} and its digits are lost"
        if re.fullmatch(r"\d+[.,]0+", number):
            return f"a spreadsheet or program took the number for a decimal: {number}"
    elif number.isdecimal() and number.isascii():
        # 5900773 is Poczta Polska's company part; it stands behind "00" and one more digit.
        is_poczta = slug in ("poczta-polska", "pocztex")
        if 17 <= len(number) <= 19 and is_poczta + ("5900773" in number[:9]) + digits.gs1(number) >= 2:
            return f"Poczta Polska's numbers have 20 digits from 00; the leading zeros of {number} are lost"
    elif slug == "dpd" and re.fullmatch(r"\d{6,12}[A-Z]", number):
        return f"DPD's numbers have 13 digits and a letter; the leading zeros of {number} are lost"
    return ""
