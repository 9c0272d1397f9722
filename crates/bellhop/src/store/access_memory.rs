//! What a store remembers of integrations, so that introspection need not ask the database each time.
//!
//! With one process it is exact. The one who writes tells it of a change after the change is durable and before
//! anybody is answered. Whoever read the database meanwhile may have read what was before: it says so by the number
//! of changes that it saw before it read, and is not believed. With several processes on one database, each entry
//! needs an age as well, or there is no memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, RwLock},
};

use crate::{
    domain::{access::Access, integration::Integration},
    id::IntegrationId,
};

/// Parts, each with a lock of its own.
const PARTS: usize = 16;
/// Most integrations that are remembered in a part: 65,536 in all, some 13 MB.
const MOST_KNOWN: usize = 4096;
/// Most ids of a part of which it is remembered that nothing has them. Strangers choose them.
const MOST_UNKNOWN: usize = 256;

/// What is remembered.
#[derive(Debug, Default)]
pub struct AccessMemory([RwLock<Part>; PARTS]);

#[derive(Debug, Default)]
struct Part {
    changes: u64,
    known: HashMap<IntegrationId, Arc<Access>>,
    unknown: HashSet<IntegrationId>,
}

/// What the memory says.
#[derive(Debug)]
pub enum Remembered {
    /// It is so.
    Is(Option<Arc<Access>>),
    /// Ask the database, then [`AccessMemory::learn`] what it said.
    Ask(Changes),
}

/// How many changes there were before the database was asked.
#[derive(Debug, Clone, Copy)]
pub struct Changes(u64);

impl AccessMemory {
    /// What is remembered of an integration.
    pub fn look(&self, id: IntegrationId) -> Remembered {
        let part = self.part(id).read().expect("no holder panics");
        match part.known.get(&id) {
            Some(access) => Remembered::Is(Some(access.clone())),
            None if part.unknown.contains(&id) => Remembered::Is(None),
            None => Remembered::Ask(Changes(part.changes)),
        }
    }

    /// What the database said. Remembered only if nothing has changed since before it was asked.
    pub fn learn(&self, id: IntegrationId, before: Changes, said: Option<Arc<Access>>) {
        let mut part = self.part(id).write().expect("no holder panics");
        if part.changes != before.0 {
            return;
        }
        if let Some(access) = said {
            make_room(&mut part.known, MOST_KNOWN);
            part.known.insert(id, access);
        } else {
            if part.unknown.len() >= MOST_UNKNOWN {
                part.unknown.clear();
            }
            part.unknown.insert(id);
        }
    }

    /// An integration is so from now on. Told after that is durable, and before anybody is answered.
    pub fn changed(&self, integration: &Integration) {
        let mut part = self.part(integration.id).write().expect("no holder panics");
        part.changes += 1;
        part.unknown.remove(&integration.id);
        if let Some(known) = part.known.get_mut(&integration.id) {
            *known = Arc::new(Access::from(integration));
        }
    }

    /// It is not known what has changed.
    pub fn forget_all(&self) {
        for part in &self.0 {
            let mut part = part.write().expect("no holder panics");
            part.changes += 1;
            part.known.clear();
            part.unknown.clear();
        }
    }

    fn part(&self, id: IntegrationId) -> &RwLock<Part> {
        // The last digits of an id are random, or count.
        &self.0[id.0.as_bytes()[15] as usize % PARTS]
    }
}

/// Forgets any one entry of a map that is full.
fn make_room(known: &mut HashMap<IntegrationId, Arc<Access>>, most: usize) {
    if known.len() >= most
        && let Some(any) = known.keys().next().copied()
    {
        known.remove(&any);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::id::{ApplicationId, EnterpriseId};

    fn integration(id: u128, is_enabled: bool) -> Integration {
        Integration {
            id: IntegrationId(Uuid::from_u128(id)),
            application_id: ApplicationId(Uuid::nil()),
            enterprise_id: EnterpriseId(Uuid::nil()),
            name: String::new(),
            is_enabled,
            created: Timestamp::UNIX_EPOCH,
            canceled: None,
            deleted: None,
            sequence: 1,
            service: None,
            tokens: None,
        }
    }

    fn access(id: u128, is_enabled: bool) -> Arc<Access> {
        Arc::new(Access::from(&integration(id, is_enabled)))
    }

    fn id(id: u128) -> IntegrationId {
        IntegrationId(Uuid::from_u128(id))
    }

    fn ask(memory: &AccessMemory, of: u128) -> Changes {
        match memory.look(id(of)) {
            Remembered::Ask(changes) => changes,
            Remembered::Is(known) => panic!("{known:?} is remembered"),
        }
    }

    fn is_open(memory: &AccessMemory, of: u128) -> Option<bool> {
        match memory.look(id(of)) {
            Remembered::Is(known) => known.map(|access| access.is_open),
            Remembered::Ask(_) => panic!("nothing is remembered"),
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_believed() {
        let memory = AccessMemory::default();
        let before = ask(&memory, 1);
        memory.changed(&integration(1, false));
        memory.learn(id(1), before, Some(access(1, true)));
        let before = ask(&memory, 1);
        memory.learn(id(1), before, Some(access(1, false)));
        assert_eq!(is_open(&memory, 1), Some(false));
        memory.changed(&integration(1, true));
        assert_eq!(is_open(&memory, 1), Some(true));
        memory.forget_all();
        ask(&memory, 1);
    }

    #[test]
    fn what_was_unknown_is_known_once_it_is_there() {
        let memory = AccessMemory::default();
        let before = ask(&memory, 1);
        memory.learn(id(1), before, None);
        assert_eq!(is_open(&memory, 1), None);
        memory.changed(&integration(1, true));
        ask(&memory, 1);
    }

    #[test]
    fn it_is_bounded() {
        let memory = AccessMemory::default();
        // All in one part.
        for number in 0..(2 * MOST_KNOWN as u128) {
            let number = number * PARTS as u128;
            memory.learn(id(number), Changes(0), Some(access(number, true)));
            memory.learn(id(number + (1 << 64)), Changes(0), None);
        }
        let part = memory.0[0].read().unwrap();
        assert_eq!(part.known.len(), MOST_KNOWN);
        assert!(part.unknown.len() <= MOST_UNKNOWN);
    }
}
