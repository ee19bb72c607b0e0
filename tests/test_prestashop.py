"""The XML that PrestaShop's adapter sends has the documented shapes: there is no machine-readable description.

The shapes are the shop's own, `?schema=synopsis` and `?schema=blank`, and the field definitions in the core's source.
"""

from __future__ import annotations

import re

import pytest
from contract import sheet
from defusedxml.ElementTree import fromstring

from shipfwd.errors import NotUnderstood
from shipfwd.platforms._presta import Webservice, parsed, xml

ID, FLOAT, DATE = "[0-9]{1,10}", r"-?[0-9]+(\.[0-9]+)?", "[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?"
NUMBER = r"[~:#,%&_=()\[\]. ?+\-@/a-zA-Z0-9]{1,64}"
# entity → field → what PrestaShop's validator takes
SHAPES = {
    "order_carrier": {
        "id": ID, "id_order": ID, "id_carrier": ID, "id_order_invoice": ID, "weight": FLOAT,
        "shipping_cost_tax_excl": FLOAT, "shipping_cost_tax_incl": FLOAT, "tracking_number": NUMBER, "date_add": DATE,
    },
    "order_history": {"id_employee": ID, "id_order_state": ID, "id_order": ID, "date_add": DATE},
}  # fmt: skip
# method → entity and the fields that must be there: PUT empties what it does not get
NEEDED = {
    "PATCH": ("order_carrier", {"id", "tracking_number"}),
    "PUT": ("order_carrier", set(SHAPES["order_carrier"])),
    "POST": ("order_history", {"id_order", "id_order_state"}),
}
CASES = sheet("prestashop")["cases"]
WRITES = [
    pytest.param(step, id=f"{case}-{place}")
    for case, one in CASES.items()
    for place, step in enumerate(one["talk"])
    if step["method"] != "GET"
]


@pytest.mark.parametrize("step", WRITES)
def test_what_is_written_has_the_documented_shape(step):
    root = fromstring(step["text"])
    assert step["text"].startswith('<?xml version="1.0" encoding="UTF-8"?>')
    assert root.tag == "prestashop"
    (entity,) = root
    name, needed = NEEDED[step["method"]]
    assert entity.tag == name
    fields = {part.tag: part.text or "" for part in entity}
    assert len(fields) == len(entity)
    assert needed <= set(fields) <= set(SHAPES[name])
    for field, value in fields.items():
        assert re.fullmatch(SHAPES[name][field], value), field
    if "/order_carriers/" in step["path"]:
        assert fields["id"] == step["path"].rpartition("/")[2], "the id in the body wins over the address"


@pytest.mark.parametrize("step", WRITES)
def test_mails_are_asked_for_by_their_real_name_or_not_at_all(step):
    assert set(step["query"]) <= {"output_format", "sendemail"}
    assert step["query"].get("sendemail", "1") == "1"


def test_every_way_of_writing_is_looked_at():
    assert {step.values[0]["method"] for step in WRITES} == set(NEEDED)


def test_markup_in_a_value_stays_a_value():
    (entity,) = fromstring(xml("order_carrier", {"id": 1, "tracking_number": "A&B<C>", "associations": {"x": 1}}))
    assert {part.tag: part.text for part in entity} == {"id": "1", "tracking_number": "A&B<C>"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "<prestashop>",
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
        '<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a>&b;</a>',
    ],
)
def test_xml_that_is_broken_or_wants_more_than_to_be_read_is_refused(text):
    with pytest.raises(NotUnderstood):
        parsed(text)


@pytest.mark.parametrize(
    ("field", "numbers"),
    [("", []), (None, []), ("A1", ["A1"]), ("A1, B2,", ["A1", "B2"]), ("6209 9960", ["6209 9960"]), ("-,A1", ["A1"])],
)
def test_numbers_of_a_field_are_parted_by_commas_alone(field, numbers):
    asked = Webservice.__new__(Webservice)  # it needs no settings for that
    assert asked.numbers_of({"tracking_number": field}) == numbers
