//! A resolver that says what a test told it.

use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering::SeqCst},
};

use std::net::IpAddr;

use async_trait::async_trait;

use crate::delivery::egress::{Resolve, ResolveError};

type Answer = Result<Vec<IpAddr>, ResolveError>;

/// Gives its answers one after the other, the last one for ever.
#[derive(Debug)]
pub struct ScriptedResolver {
    answers: Mutex<VecDeque<Answer>>,
    pub asked: AtomicUsize,
}

impl ScriptedResolver {
    pub fn answering(answers: &[&[&str]]) -> Self {
        let parsed = |answer: &&[&str]| {
            Ok(answer
                .iter()
                .map(|address| address.parse().unwrap())
                .collect())
        };
        Self::new(answers.iter().map(parsed))
    }

    pub fn failing(error: ResolveError) -> Self {
        Self::new([Err(error)])
    }

    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Resolve for ScriptedResolver {
    async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.asked.fetch_add(1, SeqCst);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0].clone()
        }
    }
}
