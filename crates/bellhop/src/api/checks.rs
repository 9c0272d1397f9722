//! Judging the values of a request: every fault is noted, and the request is refused with all of them.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    code::Flaw,
    error::{ApiError, FieldError},
};

/// The longest name in characters.
pub const MAX_NAME: usize = 255;

/// The faults that were found so far. Getters give a placeholder for what is faulty: call
/// [`Checks::finish`] before anything is done with the values.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes a fault.
    pub fn push(&mut self, fault: FieldError) {
        self.0.push(fault);
    }

    /// Notes a value that is not acceptable.
    pub fn invalid(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.push(FieldError::at(pointer, Flaw::Invalid, detail));
    }

    /// The value of a member that must be there.
    pub fn required<T: Default>(&mut self, pointer: &'static str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            // A member that was taken away because of its type is not missing as well.
            if !self.has_fault_at(pointer) {
                self.push(FieldError::at(
                    pointer,
                    Flaw::Missing,
                    "This member is required.",
                ));
            }
            T::default()
        })
    }

    /// An id that must be there.
    pub fn id<Id: From<Uuid>>(&mut self, pointer: &'static str, id: Option<Uuid>) -> Id {
        Id::from(self.required(pointer, id))
    }

    /// A name that must be there.
    pub fn name(&mut self, pointer: &'static str, name: Option<String>) -> String {
        let missing = name.is_none();
        let name = self.required(pointer, name);
        if !missing {
            self.text(pointer, &name, 1, MAX_NAME);
        }
        name
    }

    /// A text on one line, of so many characters.
    pub fn text(&mut self, pointer: &'static str, text: &str, least: usize, most: usize) {
        let length = text.chars().count();
        if length < least || length > most {
            self.invalid(
                pointer,
                format!("It has {least} to {most} characters, not {length}."),
            );
        } else if text.chars().any(char::is_control) {
            self.invalid(
                pointer,
                "It must not contain control characters such as line breaks.",
            );
        } else if least > 0 && text.trim().is_empty() {
            self.invalid(pointer, "It must not be blank.");
        }
    }

    /// A number within bounds.
    pub fn number(&mut self, pointer: &'static str, number: Option<u32>, least: u32, most: u32) {
        if let Some(number) = number
            && !(least..=most).contains(&number)
        {
            self.invalid(
                pointer,
                format!("It is from {least} to {most}, not {number}."),
            );
        }
    }

    /// A moment.
    pub fn moment(&mut self, pointer: &'static str, text: Option<&str>) -> Option<Timestamp> {
        let moment = text?.parse().ok();
        if moment.is_none() {
            self.invalid(pointer, EXPECTED_MOMENT);
        }
        moment
    }

    /// One of these words.
    pub fn one_of<T: Copy>(
        &mut self,
        pointer: &str,
        text: &str,
        known: &[(&'static str, T)],
    ) -> Option<T> {
        let found = known.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let detail = not_one_of(text, known.iter().map(|(word, _)| *word));
            self.invalid(pointer, detail);
        }
        found.map(|(_, value)| *value)
    }

    /// Refuses the request if anything is wrong with it.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_error())
        }
    }

    /// The refusal.
    pub fn into_error(self) -> ApiError {
        ApiError::invalid(self.0)
    }

    fn has_fault_at(&self, pointer: &str) -> bool {
        self.0.iter().any(|fault| {
            fault.pointer.as_deref().is_some_and(|place| {
                place
                    .strip_prefix(pointer)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
    }
}

/// What a moment looks like.
pub const EXPECTED_MOMENT: &str =
    "Expected a moment in ISO 8601 with an offset, such as 2026-01-31T09:30:00Z.";

/// What is said of a word that is not among the known ones.
pub fn not_one_of<'a>(text: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(text, known.clone()) {
        Some(meant) => format!("Did you mean {meant}?"),
        None => format!("It is one of {}.", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The known word that was probably meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.75;
    let lower = word.to_lowercase();
    known
        .map(|candidate| {
            let alike = strsim::jaro_winkler(&lower, &candidate.to_lowercase());
            (candidate, alike)
        })
        .filter(|(_, alike)| *alike >= ALIKE)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_bounds() {
        for (name, fine) in [
            ("a", true),
            (&*"é".repeat(255), true),
            (&*"é".repeat(256), false),
            ("", false),
            ("   ", false),
            ("a\nb", false),
            ("a\0", false),
        ] {
            let mut checks = Checks::default();
            checks.name("/Name", Some(name.to_owned()));
            assert_eq!(checks.finish().is_ok(), fine, "{name:?}");
        }
    }

    #[test]
    fn a_near_miss_is_suggested() {
        let known = ["ApplicationId", "EnterpriseId", "Name"];
        assert_eq!(
            nearest("applicationid", known.into_iter()),
            Some("ApplicationId")
        );
        assert_eq!(nearest("Nmae", known.into_iter()), Some("Name"));
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
