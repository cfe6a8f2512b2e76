//! Requests as only a machine would write them: fields in any order and more than once, unknown fields and groups in between, packed and
//! unpacked numbers, ids of wrong lengths. All of it is valid protobuf, so that prost says what it means.

use crate::signals::Signal;

/// The bytes of a random test case, taken one by one; after the last, zeros, which mean "no more".
pub struct Choices<'c>(pub &'c [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.next()) % list.len()]
    }
}

struct Schema {
    /// The fields that most messages have.
    usual: &'static [u32],
    fields: &'static [(u32, Kind)],
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Bool,
    Fixed64,
    Fixed32,
    Double,
    Key,
    Text,
    Bytes,
    Id(u8),
    Fixed64s,
    Doubles,
    Varints,
    Message(&'static Schema),
}

use Kind::{Bool, Bytes, Double, Doubles, Fixed32, Fixed64, Fixed64s, Id, Key, Message, Number, Text, Varints};

static ANY_VALUE: Schema = Schema {
    usual: &[],
    fields: &[(1, Text), (2, Bool), (3, Number), (4, Double), (5, Message(&ARRAY)), (6, Message(&LIST)), (7, Bytes)],
};
static ARRAY: Schema = Schema { usual: &[1], fields: &[(1, Message(&ANY_VALUE))] };
static LIST: Schema = Schema { usual: &[1], fields: &[(1, Message(&KEY_VALUE))] };
static KEY_VALUE: Schema = Schema { usual: &[1, 2], fields: &[(1, Key), (2, Message(&ANY_VALUE))] };
static RESOURCE: Schema = Schema { usual: &[1], fields: &[(1, Message(&KEY_VALUE)), (2, Number)] };
static SCOPE: Schema = Schema { usual: &[1], fields: &[(1, Text), (2, Text), (3, Message(&KEY_VALUE)), (4, Number)] };

static TRACES: Schema = Schema { usual: &[1], fields: &[(1, Message(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Schema = Schema { usual: &[2], fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_SPANS)), (3, Text)] };
static SCOPE_SPANS: Schema = Schema { usual: &[2], fields: &[(1, Message(&SCOPE)), (2, Message(&SPAN)), (3, Text)] };
static SPAN: Schema = Schema {
    usual: &[1, 2, 9],
    fields: &[
        (1, Id(16)),
        (2, Id(8)),
        (3, Text),
        (4, Id(8)),
        (5, Text),
        (6, Number),
        (7, Fixed64),
        (8, Fixed64),
        (9, Message(&KEY_VALUE)),
        (10, Number),
        (11, Message(&EVENT)),
        (13, Message(&LINK)),
        (15, Message(&STATUS)),
        (16, Fixed32),
    ],
};
static EVENT: Schema = Schema { usual: &[2], fields: &[(1, Fixed64), (2, Text), (3, Message(&KEY_VALUE)), (4, Number)] };
static LINK: Schema = Schema { usual: &[], fields: &[(1, Id(16)), (4, Message(&KEY_VALUE))] };
static STATUS: Schema = Schema { usual: &[], fields: &[(2, Text), (3, Number)] };

static LOGS: Schema = Schema { usual: &[1], fields: &[(1, Message(&RESOURCE_LOGS))] };
static RESOURCE_LOGS: Schema = Schema { usual: &[2], fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_LOGS)), (3, Text)] };
static SCOPE_LOGS: Schema = Schema { usual: &[2], fields: &[(1, Message(&SCOPE)), (2, Message(&LOG)), (3, Text)] };
static LOG: Schema = Schema {
    usual: &[5],
    fields: &[
        (1, Fixed64),
        (2, Number),
        (3, Text),
        (5, Message(&ANY_VALUE)),
        (6, Message(&KEY_VALUE)),
        (7, Number),
        (8, Fixed32),
        (9, Id(16)),
        (10, Id(8)),
        (11, Fixed64),
        (12, Text),
    ],
};

static METRICS: Schema = Schema { usual: &[1], fields: &[(1, Message(&RESOURCE_METRICS))] };
static RESOURCE_METRICS: Schema =
    Schema { usual: &[2], fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_METRICS)), (3, Text)] };
static SCOPE_METRICS: Schema = Schema { usual: &[2], fields: &[(1, Message(&SCOPE)), (2, Message(&METRIC)), (3, Text)] };
static METRIC: Schema = Schema {
    usual: &[1],
    fields: &[
        (1, Text),
        (2, Text),
        (3, Text),
        (5, Message(&GAUGE)),
        (7, Message(&SUM)),
        (9, Message(&HISTOGRAM)),
        (10, Message(&EXPONENTIAL)),
        (11, Message(&SUMMARY)),
        (12, Message(&KEY_VALUE)),
    ],
};
static GAUGE: Schema = Schema { usual: &[1], fields: &[(1, Message(&NUMBER_POINT))] };
static SUM: Schema = Schema { usual: &[1], fields: &[(1, Message(&NUMBER_POINT)), (2, Number), (3, Bool)] };
static HISTOGRAM: Schema = Schema { usual: &[1], fields: &[(1, Message(&HISTOGRAM_POINT)), (2, Number)] };
static EXPONENTIAL: Schema = Schema { usual: &[1], fields: &[(1, Message(&EXPONENTIAL_POINT)), (2, Number)] };
static SUMMARY: Schema = Schema { usual: &[1], fields: &[(1, Message(&SUMMARY_POINT))] };
static NUMBER_POINT: Schema = Schema {
    usual: &[6],
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Double),
        (5, Message(&EXEMPLAR)),
        (6, Fixed64),
        (7, Message(&KEY_VALUE)),
        (8, Number),
    ],
};
static HISTOGRAM_POINT: Schema = Schema {
    usual: &[6],
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Double),
        (6, Fixed64s),
        (7, Doubles),
        (8, Message(&EXEMPLAR)),
        (9, Message(&KEY_VALUE)),
        (10, Number),
        (11, Double),
    ],
};
static EXPONENTIAL_POINT: Schema = Schema {
    usual: &[1],
    fields: &[
        (1, Message(&KEY_VALUE)),
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Double),
        (6, Number),
        (7, Fixed64),
        (8, Message(&BUCKETS)),
        (9, Message(&BUCKETS)),
        (10, Number),
        (11, Message(&EXEMPLAR)),
        (12, Double),
        (14, Double),
    ],
};
static BUCKETS: Schema = Schema { usual: &[2], fields: &[(1, Number), (2, Varints)] };
static SUMMARY_POINT: Schema = Schema {
    usual: &[7],
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Double),
        (6, Message(&QUANTILE)),
        (7, Message(&KEY_VALUE)),
        (8, Number),
    ],
};
static QUANTILE: Schema = Schema { usual: &[1], fields: &[(1, Double), (2, Double)] };
static EXEMPLAR: Schema =
    Schema { usual: &[5], fields: &[(2, Fixed64), (3, Double), (4, Id(8)), (5, Id(16)), (6, Fixed64), (7, Message(&KEY_VALUE))] };

pub const KEYS: [&str; 8] =
    ["", "k", "faas.name", "faas.trigger", "faas.version", "service.name", "http.request.header.x-forwarded-for", "ключ"];
const TEXTS: [&str; 6] = ["", "GET", "\"q\" \\ \n \u{1} é 😀", "javascript", "42", "0.25"];
const NUMBERS: [u64; 10] = [0, 1, 2, 3, 5, 17, 300, u32::MAX as u64, i64::MAX as u64, u64::MAX];
const DOUBLES: [f64; 8] = [0.0, 1.0, -1.5, 0.25, 1e300, 1024.0, f64::INFINITY, f64::NEG_INFINITY];

/// prost stops at 100 messages and groups within each other; values that nest deeper have their own test.
const DEPTH: u32 = 24;

/// A body of the signal.
pub fn body(signal: Signal, choices: &mut Choices<'_>) -> Vec<u8> {
    let schema = match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    };
    message(choices, schema, 0)
}

fn message(choices: &mut Choices<'_>, schema: &Schema, depth: u32) -> Vec<u8> {
    let mut out = Vec::new();
    if depth > DEPTH {
        return out;
    }
    if !choices.next().is_multiple_of(8) {
        for number in schema.usual {
            let kind = schema.fields.iter().find(|(known, _)| known == number).unwrap().1;
            field(choices, *number, kind, depth, &mut out);
        }
    }
    while !choices.next().is_multiple_of(4) {
        if choices.next() % 16 == 1 {
            unknown(choices, depth, &mut out);
        } else {
            let (number, kind) = choices.one_of(schema.fields);
            field(choices, number, kind, depth, &mut out);
        }
    }
    out
}

fn field(choices: &mut Choices<'_>, number: u32, kind: Kind, depth: u32, out: &mut Vec<u8>) {
    match kind {
        Number => {
            tag(number, 0, out);
            varint(choices.one_of(&NUMBERS), out);
        }
        Bool => {
            tag(number, 0, out);
            varint(u64::from(choices.next() % 3), out);
        }
        Fixed64 => {
            tag(number, 1, out);
            out.extend(choices.one_of(&NUMBERS).to_le_bytes());
        }
        Fixed32 => {
            tag(number, 5, out);
            out.extend([choices.next(); 4]);
        }
        Double => {
            tag(number, 1, out);
            out.extend(choices.one_of(&DOUBLES).to_le_bytes());
        }
        Key => bytes(number, choices.one_of(&KEYS).as_bytes(), out),
        Text => bytes(number, choices.one_of(&TEXTS).repeat(if choices.next() == 7 { 40 } else { 1 }).as_bytes(), out),
        Bytes => {
            let len = usize::from(choices.next() % 5);
            let content: Vec<u8> = (0..len).map(|_| choices.next()).collect();
            bytes(number, &content, out);
        }
        Id(len) => {
            let wrong = choices.next();
            let len = if wrong % 16 == 1 { wrong / 12 } else { len };
            bytes(number, &vec![choices.next().max(u8::from(wrong % 16 != 2)); usize::from(len)], out);
        }
        Fixed64s | Doubles => {
            let numbers: Vec<u8> = (0..choices.next() % 4)
                .flat_map(|_| match kind {
                    Doubles => choices.one_of(&DOUBLES).to_le_bytes(),
                    _ => choices.one_of(&NUMBERS).to_le_bytes(),
                })
                .collect();
            if choices.next().is_multiple_of(2) {
                bytes(number, &numbers, out);
            } else {
                for single in numbers.chunks(8) {
                    tag(number, 1, out);
                    out.extend(single);
                }
            }
        }
        Varints => {
            let numbers: Vec<u64> = (0..choices.next() % 4).map(|_| choices.one_of(&NUMBERS)).collect();
            if choices.next().is_multiple_of(2) {
                let mut packed = Vec::new();
                for single in &numbers {
                    varint(*single, &mut packed);
                }
                bytes(number, &packed, out);
            } else {
                for single in numbers {
                    tag(number, 0, out);
                    varint(single, out);
                }
            }
        }
        Message(schema) => bytes(number, &message(choices, schema, depth + 1), out),
    }
}

fn unknown(choices: &mut Choices<'_>, depth: u32, out: &mut Vec<u8>) {
    let number = choices.one_of(&[90, 2_000, 536_870_911]);
    match choices.next() % 5 {
        0 => {
            tag(number, 0, out);
            varint(choices.one_of(&NUMBERS), out);
        }
        1 => {
            tag(number, 1, out);
            out.extend([0xff; 8]);
        }
        2 => bytes(number, &[0xff; 3], out),
        3 if depth <= DEPTH => {
            tag(number, 3, out);
            unknown(choices, depth + 1, out);
            tag(number, 4, out);
        }
        _ => {
            tag(number, 5, out);
            out.extend([0xff; 4]);
        }
    }
}

pub fn tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type), out);
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}
