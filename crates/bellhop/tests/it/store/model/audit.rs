//! The audit log: a list.

use bellhop::{
    domain::audit::{AuditEntry, By, Chain, Fact},
    store::{AuditFilter, AuditKey, AuditLinked, Audited, Commit, Write, audit::Before},
};
use jiff::Timestamp;

use super::State;

impl State {
    pub fn note(&mut self, commit: &Commit, fact: Option<Fact>) {
        if let Some(fact) = fact {
            self.note_by(fact, commit.at, &commit.by);
        }
    }

    pub fn note_by(&mut self, fact: Fact, at: Timestamp, by: &By) {
        let entry = fact.entry(self.ids.next(at), at, by);
        self.noted.push(entry);
    }

    /// What a write finds.
    pub fn before(&self, write: &Write) -> Option<Before> {
        match write {
            Write::PutEnterprise { id, .. } => {
                let found = self.enterprises.get(id)?;
                Some(Before::Name(found.name.clone()))
            }
            Write::RenameApplication { id, .. } => {
                let found = self.applications.get(id)?;
                Some(Before::Name(found.name.clone()))
            }
            Write::UpdateWebhook { id, .. } | Write::DeleteWebhook { id } => {
                Some(Before::Webhook(Box::new(self.webhook(*id)?.clone())))
            }
            Write::DeleteKey { id } => Some(Before::Key(Box::new(self.keys.get(id)?.clone()))),
            _ => None,
        }
    }

    pub fn audited(&self, filter: &AuditFilter, before: Option<AuditKey>, limit: usize) -> Audited {
        let fits = |entry: &&AuditEntry| {
            before.is_none_or(|key| entry.id < key.id)
                && filter.action.is_none_or(|is| is.as_str() == entry.action)
                && filter.actor_id.is_none_or(|is| Some(is) == entry.actor_id)
                && (filter.subject_id).is_none_or(|is| Some(is) == entry.subject_id)
                && (filter.application_id).is_none_or(|is| Some(is) == entry.application_id)
                && (filter.from).is_none_or(|from| from.as_millisecond() <= entry.at_ms)
                && filter.to.is_none_or(|to| entry.at_ms < to.as_millisecond())
        };
        let mut found = self.noted.iter().rev().filter(fits).cloned();
        let entries: Vec<_> = found.by_ref().take(limit).collect();
        let next = entries.last().filter(|_| found.next().is_some());
        let next = next.map(|last| AuditKey {
            group: 0,
            id: last.id,
        });
        Audited { entries, next }
    }

    pub fn linked(&self) -> AuditLinked {
        let mut chain = Chain::EMPTY;
        for entry in &self.noted {
            chain.add(entry);
        }
        let has_more = false;
        AuditLinked { chain, has_more }
    }
}
