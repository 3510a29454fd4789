"""The form of a captured message: what is read, what is refused with which sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.capture import Captured, Place, encode_line
from schemas.capture_read import CaptureError, decode_line

VALUES = {
    "as written, without white space": ('{ "b" : 1.10,\t"a" : [1, 2] }', b'{"b":1.10,"a":[1,2]}'),
    "white space in a text stays": ('{"a b": "c \\" d"}', b'{"a b":"c \\" d"}'),
    "a name twice, in its order": ('{"a":1,"a":2}', b'{"a":1,"a":2}'),
    "escapes stay": ('"\\u00e9 \\ud800"', b'"\\u00e9 \\ud800"'),
    "letters stay": ('"é"', '"é"'.encode()),
    "digits stay": ("[1e3, 1234567890123456789]", b"[1e3,1234567890123456789]"),
    "null is JSON": ("null", b"null"),
}  # fmt: skip


@pytest.mark.parametrize(("written", "sent"), VALUES.values(), ids=VALUES)
def test_a_json_value_is_sent_compactly_as_it_is_written(written: str, sent: bytes) -> None:
    line = f'{{"headers":{{"value":"x"}}, "value" : {written} , "ts_ms":3,"key":"value"}}'
    assert decode_line(line.encode()) == Captured(b"value", 3, (("value", b"x"),), sent)


FIELDS = {
    "no key, no headers": ({}, Captured(None, 1, (), b"x")),
    "key null": ({"key": None}, Captured(None, 1, (), b"x")),
    "key bytes": ({"key_b64": "/w=="}, Captured(b"\xff", 1, (), b"x")),
    "headers null": ({"headers": None}, Captured(None, 1, (), b"x")),
    "headers as pairs, one twice": (
        {"headers": [["a", "1"], ["a", None], ["b", {"b64": "/w=="}]]},
        Captured(None, 1, (("a", b"1"), ("a", None), ("b", b"\xff")), b"x"),
    ),
    "text": ({"value_raw": "é\n"}, Captured(None, 1, (), "é\n".encode())),
    "a lone surrogate": ({"value_raw": "\ud800"}, Captured(None, 1, (), b"\xed\xa0\x80")),
    "no value": ({"value_b64": None}, Captured(None, 1, (), None)),
    "no time stamp": ({"ts_ms": -1}, Captured(None, -1, (), b"x")),
    "whose time stamp": ({"ts_type": "append"}, Captured(None, 1, (), b"x", 1)),
    "where": (
        {"partition": 1, "partitions": 2},
        Captured(None, 1, (), b"x", place=Place(1, 2)),
    ),
    "fields of others": ({"reason": "forged"}, Captured(None, 1, (), b"x")),
}


@pytest.mark.parametrize(("fields", "message"), FIELDS.values(), ids=FIELDS)
def test_fields(fields: dict[str, object], message: Captured) -> None:
    given_value = any(name.startswith("value") for name in fields)
    line = {"ts_ms": 1, **({} if given_value else {"value_raw": "x"}), **fields}
    assert decode_line(json.dumps(line).encode()) == message


REFUSED = {
    "{": "not JSON: Expecting property name enclosed in double quotes at character 2",
    "[]": "it is an array of 0; a message is an object",
    '{"ts_ms":1}': "it has none; one of value, value_raw, value_b64 is needed",
    '{"ts_ms":1,"value":1,"value_raw":"1"}': "it has both value and value_raw",
    '{"ts_ms":1,"value_raw":"1","value_b64":""}': "it has both value_raw and value_b64",
    '{"value":1}': "ts_ms is missing",
    '{"ts_ms":1.0,"value":1}': "ts_ms is 1.0; it must be an integer",
    '{"ts_ms":"1","value":1}': 'ts_ms is "1"; it must be an integer',
    '{"ts_ms":true,"value":1}': "ts_ms is true; it must be an integer",
    '{"ts_ms":null,"value":1}': "ts_ms is null; it must be an integer",
    '{"ts_ms":-2,"value":1}': "ts_ms is -2; it must be -1",
    '{"ts_ms":%s,"value":1}' % ("9" * 5000): "it must be -1 (none) … 253402300799999",
    '{"ts_ms":1,"value":NaN}': "NaN is not a JSON value; write the message as value_raw",
    '{"ts_ms":1,"value":%s}' % ("[" * 9999 + "]" * 9999): "not JSON: it is nested too deeply",
    '{"ts_ms":1,"ts_ms":1,"value":1}': 'the field "ts_ms" appears twice',
    '{"ts_ms":1,"value_raw":1}': "value_raw is 1; it must be text",
    '{"ts_ms":1,"value_raw":null}': "value_raw is null; it must be text",
    '{"ts_ms":1,"value_b64":"é"}': "value_b64 is not base64",
    '{"ts_ms":1,"value_b64":7}': "value_b64 is 7; it must be base64",
    '{"ts_ms":1,"value":1,"key":7}': "key is 7; it must be text or null",
    '{"ts_ms":1,"value":1,"key":"a","key_b64":"YQ=="}': "it has both key and key_b64",
    '{"ts_ms":1,"value":1,"ts_type":"now"}': 'ts_type is "now"; it must be one of create, append',
    '{"ts_ms":1,"value":1,"partition":0}': "partitions is null; it must be an integer from 0",
    '{"ts_ms":1,"value":1,"partition":-1,"partitions":1}': "partition is -1; it must be an integer",
    '{"ts_ms":1,"value":1,"partition":1,"partitions":1}': "it must be less than partitions, 1",
    '{"ts_ms":1,"value":1,"partition":0,"partitions":1,"offset":"0"}': 'offset is "0"; it must',
    '{"ts_ms":1,"value":1,"headers":"x"}': 'headers is "x"; it must be an object or a list',
    '{"ts_ms":1,"value":1,"headers":{"a":"1","a":"2"}}': 'headers has "a" twice',
    '{"ts_ms":1,"value":1,"headers":{"a":1}}': "header a is 1; it must be text, null",
    '{"ts_ms":1,"value":1,"headers":{"a":{"b65":""}}}': "header a is an object; it must be text",
    '{"ts_ms":1,"value":1,"headers":[["a"]]}': "headers holds an array of 1; each must be a pair",
    '{"ts_ms":1,"value":1,"headers":{"\\ud800":"1"}}': "is not UTF-8",
}  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_message_is_refused_with_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(CaptureError) as refused:
        decode_line(line.encode())
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CaptureError, match="it is not UTF-8"):
        decode_line(b'{"ts_ms":1,"value_raw":"\xff"}')


maybe_bytes = st.none() | st.binary() | st.text().map(str.encode)
messages = st.builds(
    Captured,
    maybe_bytes,
    st.integers(-1, 10**14),
    st.lists(st.tuples(st.text(max_size=3), maybe_bytes), max_size=4).map(tuple),
    maybe_bytes,
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, Place(0, 1), Place(7, 8, 9)]),
)


@given(messages)
def test_what_is_written_is_read(message: Captured) -> None:
    line = encode_line(message, reason="x")
    assert line.isascii()
    assert line.count("\n") == 1
    assert decode_line(line.encode()) == message
