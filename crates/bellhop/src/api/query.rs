//! The query of a request, read strictly.

use std::{borrow::Cow, str::FromStr};

use jiff::Timestamp;
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    checks::{EXPECTED_MOMENT, nearest, not_one_of},
    code::Flaw,
    error::{ApiError, FieldError},
};

/// The parameters that were given; each at most once and only known ones.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    faults: Vec<FieldError>,
}

impl<'a> Query<'a> {
    /// Reads the query; notes parameters that are not known or given twice.
    pub fn read(query: Option<&'a str>, known: &[&str]) -> Self {
        let mut read = Self {
            pairs: Vec::new(),
            faults: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let name: String = name.chars().take(64).collect();
                let detail = unknown(&name, known);
                read.faults
                    .push(FieldError::in_query(name, Flaw::Unknown, detail));
            } else if read.pairs.iter().any(|(other, _)| *other == name) {
                let detail = "This parameter is given twice.";
                read.faults
                    .push(FieldError::in_query(name, Flaw::Duplicate, detail));
            } else {
                read.pairs.push((name, value));
            }
        }
        read
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    /// An id.
    pub fn id<Id: From<Uuid>>(&mut self, name: &'static str) -> Option<Id> {
        self.parse(
            name,
            "Expected an id (UUID) such as 9e5e84e9-974d-4f16-9662-ab2200f27cb1.",
        )
        .map(|id: Uuid| Id::from(id))
    }

    /// A moment.
    pub fn moment(&mut self, name: &'static str) -> Option<Timestamp> {
        self.parse(name, EXPECTED_MOMENT)
    }

    /// True or false; false if absent.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.parse(name, "Expected true or false.").unwrap_or(false)
    }

    /// One of these words.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        known: impl Iterator<Item = (&'static str, T)> + Clone,
    ) -> Option<T> {
        let text = self.text(name)?;
        let found = known.clone().find(|(word, _)| *word == text);
        if found.is_none() {
            let detail = not_one_of(text, known.map(|(word, _)| word));
            self.fault(name, detail);
        }
        found.map(|(_, value)| value)
    }

    /// Notes a value that is not acceptable.
    pub fn fault(&mut self, name: &'static str, detail: impl Into<String>) {
        self.faults
            .push(FieldError::in_query(name, Flaw::Invalid, detail));
    }

    /// Refuses the request if anything is wrong with its query.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.faults))
        }
    }

    fn parse<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.fault(name, expected);
        }
        parsed
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    match (nearest(name, known.iter().copied()), known) {
        (Some(meant), _) => format!("There is no parameter {name} here. Did you mean {meant}?"),
        (None, []) => format!("There is no parameter {name} here: none is taken."),
        (None, known) => format!(
            "There is no parameter {name} here. Known: {}.",
            known.join(", ")
        ),
    }
}
