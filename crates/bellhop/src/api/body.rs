//! Reading JSON bodies strictly: straight from the bytes when all is well, and with every fault named when not.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::{
    checks::{Checks, nearest},
    code::{Code, Flaw},
    error::{ApiError, FieldError},
};

/// How many faults are named at most.
const MOST_FAULTS: usize = 20;
/// How much of a name that the caller chose is repeated.
const MOST_NAME: usize = 64;

/// A struct that is written as an object. Without this, serde would take an array of its members too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Reads a body. Faults in its form are already noted in the checks; members with such a fault are absent.
/// An empty body is an empty object.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Checks), ApiError> {
    let bytes = if bytes.trim_ascii().is_empty() {
        b"{}"
    } else {
        bytes
    };
    match serde_json::from_slice::<Object<T>>(bytes) {
        Ok(Object(body)) => Ok((body, Checks::default())),
        Err(_) => diagnose(bytes),
    }
}

/// Names every fault: notes it, takes the faulty member away, and reads again.
fn diagnose<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Checks), ApiError> {
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| malformed(bytes, &error))?;
    with_whole_numbers(&mut value);
    let mut checks = Checks::default();
    if let Some(duplicate) = duplicate_member::<T>(bytes) {
        checks.push(duplicate);
    }
    for _ in 0..MOST_FAULTS {
        match serde_path_to_error::deserialize::<_, Object<T>>(&value) {
            Ok(Object(body)) => return Ok((body, checks)),
            Err(error) => {
                let place = places(error.path());
                checks.push(explain(&place, &error.inner().to_string()));
                if !take_away(&mut value, &place) {
                    break;
                }
            }
        }
    }
    Err(checks.into_error())
}

/// To JSON Schema 222.0 is an integer, so it is one here. Found by schemathesis.
fn with_whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64());
            // Larger ones are not exact, and beyond every limit here.
            if let Some(whole) = whole.filter(|whole| whole.fract() == 0.0 && whole.abs() < 1e15) {
                *number = (whole as i64).into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(with_whole_numbers),
        Value::Object(members) => members.values_mut().for_each(with_whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn malformed(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    if std::str::from_utf8(bytes).is_err() {
        return ApiError::new(Code::MalformedBody, "The body is not UTF-8.");
    }
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    ApiError::new(
        Code::MalformedBody,
        format!(
            "The body is not JSON: {reason} at line {}, column {}.",
            error.line(),
            error.column()
        ),
    )
}

/// A `Value` keeps the last of two members with one name, so this fault is seen in the bytes only.
fn duplicate_member<T: DeserializeOwned>(bytes: &[u8]) -> Option<FieldError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = serde_path_to_error::deserialize::<_, Object<T>>(&mut json).err()?;
    let text = error.inner().to_string();
    text.starts_with("duplicate ")
        .then(|| explain(&places(error.path()), &text))
}

/// The parts of a JSON pointer.
fn places(path: &Path) -> Vec<String> {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Says what is wrong without repeating a value, which may be a secret.
fn explain(place: &[String], text: &str) -> FieldError {
    let pointer = pointer(place);
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    if text.starts_with("unknown field ") {
        let name = place.last().map_or("", String::as_str);
        let known = names.get(1..).unwrap_or_default();
        return FieldError::at(pointer, Flaw::Unknown, unknown_member(name, known));
    }
    if text.starts_with("duplicate ") {
        // serde notices it in the object, so the name is in its text alone.
        let pointer = match names.first() {
            Some(name) if text.starts_with("duplicate field ") => format!("{pointer}/{name}"),
            _ => pointer,
        };
        return FieldError::at(pointer, Flaw::Duplicate, "This member is given twice.");
    }
    if let Some((found, expected)) = text
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        let detail = format!("Expected {}, found {}.", in_words(expected), kind(found));
        return FieldError::at(pointer, Flaw::WrongType, detail);
    }
    if text.contains("UUID") {
        let detail = "Expected an id (UUID) such as 9e5e84e9-974d-4f16-9662-ab2200f27cb1.";
        return FieldError::at(pointer, Flaw::Invalid, detail);
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => {
            let detail = format!("Expected {}.", in_words(expected));
            FieldError::at(pointer, Flaw::Invalid, detail)
        }
        None => FieldError::at(pointer, Flaw::Invalid, "This value is not acceptable."),
    }
}

fn unknown_member(name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(MOST_NAME).collect();
    match (nearest(&name, known.iter().copied()), known) {
        (Some(meant), _) => format!("There is no member {name} here. Did you mean {meant}?"),
        (None, []) => format!("There is no member {name} here: none is taken."),
        (None, known) => format!(
            "There is no member {name} here. Known: {}.",
            known.join(", ")
        ),
    }
}

/// What serde expects, in the words of JSON.
fn in_words(expected: &str) -> &str {
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    match expected {
        "u32" | "u64" | "i64" | "usize" => "a whole number that is not negative",
        "a boolean" | "bool" => "true or false",
        "a formatted UUID string" => "an id (UUID, as a string)",
        "a sequence" => "an array",
        other if other.starts_with("struct ") || other == "a map" => "an object",
        other => other,
    }
}

/// The JSON type of what serde found, without the value.
fn kind(found: &str) -> &'static str {
    match found.split([' ', '`']).next().unwrap_or_default() {
        "string" => "a string",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "an array",
        "map" => "an object",
        "null" | "unit" | "Option" => "null",
        _ => "something else",
    }
}

fn pointer(place: &[String]) -> String {
    place.iter().fold(String::new(), |mut pointer, part| {
        pointer.push('/');
        let part: String = part.chars().take(MOST_NAME).collect();
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// Takes the faulty member away. An item of an array takes its array with it, so that the places of later
/// faults stay right. False if there is nothing to take.
fn take_away(value: &mut Value, place: &[String]) -> bool {
    let Some((last, parents)) = place.split_last() else {
        return false;
    };
    let parent = parents
        .iter()
        .try_fold(&mut *value, |inner, part| match inner {
            Value::Object(members) => members.get_mut(part),
            Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
            _ => None,
        });
    match parent {
        Some(Value::Object(members)) => members.remove(last).is_some(),
        Some(_) => take_away(value, parents),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is looked at")]
    struct Sample {
        name: Option<String>,
        count: Option<u32>,
        list: Option<Vec<u32>>,
        inner: Option<Object<Inner>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is looked at")]
    struct Inner {
        email: Option<String>,
    }

    fn faults(body: &str) -> Vec<String> {
        let error = match read::<Sample>(body.as_bytes()) {
            Err(error) => error,
            Ok((_, checks)) => checks.finish().unwrap_err(),
        };
        let document = error.into_reply("r").to_answer().0;
        let body = document.split(|byte| *byte == b'\n').nth(1).unwrap();
        let problem: Value = serde_json::from_slice(body).unwrap();
        let errors = problem["errors"].as_array().unwrap();
        if errors.is_empty() {
            return vec![problem["detail"].to_string()];
        }
        errors
            .iter()
            .map(|e| format!("{} {} {}", e["pointer"], e["code"], e["detail"]).replace('"', ""))
            .collect()
    }

    #[test]
    fn every_fault_is_named_once_and_no_value_is_repeated() {
        let body = r#"{"Nam": "x", "Count": "hush", "List": [1, "hush", -1], "Inner": {"Emial": 1, "Email": 2}}"#;
        assert_eq!(
            faults(body),
            [
                "/Count wrong_type Expected a whole number that is not negative, found a string.",
                "/Inner/Email wrong_type Expected a string, found a number.",
                "/Inner/Emial unknown There is no member Emial here. Did you mean Email?",
                "/List/1 wrong_type Expected a whole number that is not negative, found a string.",
                "/Nam unknown There is no member Nam here. Did you mean Name?",
            ]
        );
    }

    #[test]
    fn arrays_are_not_objects_and_duplicates_are_seen() {
        assert_eq!(
            faults("[]"),
            [" wrong_type Expected an object, found an array."]
        );
        assert_eq!(
            faults(r#"{"Inner": ["a@example.com"]}"#),
            ["/Inner wrong_type Expected an object, found an array."]
        );
        assert_eq!(
            faults(r#"{"Name": "a", "Name": "b"}"#),
            ["/Name duplicate This member is given twice."]
        );
        assert_eq!(
            faults(r#"{"Count": -1}"#),
            ["/Count invalid Expected a whole number that is not negative."]
        );
    }

    #[test]
    fn what_is_not_json_has_a_line_and_a_column() {
        assert!(faults("{\"Name\":\n nope}")[0].contains("line 2, column"));
        assert!(faults("{} {}")[0].contains("trailing characters"));
        assert!(faults(&"[".repeat(1000))[0].contains("recursion limit"));
        let latin = read::<Sample>(b"{\"Name\":\"\xe9\"}").err().unwrap();
        assert_eq!(latin.code(), Code::MalformedBody);
        let surrogate = read::<Sample>(br#"{"Name":"\ud800"}"#).err().unwrap();
        assert_eq!(surrogate.code(), Code::MalformedBody);
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert!(read::<Sample>(b" \n").unwrap().1.finish().is_ok());
    }
}
