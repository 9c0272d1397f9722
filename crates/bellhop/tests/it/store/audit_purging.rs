//! An audit log that is kept for a time: what goes, and that the rest verifies. The tests are listed in `auditing`.

use bellhop::{
    domain::audit::{AuditEntry, Chain},
    store::{Purge, audit::Broken},
};
use jiff::Timestamp;

use super::{
    auditing::{Attacked, ten, verify},
    world::World,
};

/// Links until there.
async fn linked_to<D: Attacked>(world: &World<D>, position: u64) -> Chain {
    loop {
        let linked = world.store().link_audit(world.now()).await.unwrap();
        if linked.chain.position == position {
            return linked.chain;
        }
        tokio::task::yield_now().await;
    }
}

/// What the first entries come to.
fn chain_of(entries: &[AuditEntry]) -> Chain {
    let mut chain = Chain::EMPTY;
    for entry in entries {
        chain.add(entry);
    }
    chain
}

pub async fn the_oldest_go_and_the_rest_verifies<D: Attacked>() {
    let mut world = ten::<D>().await;
    let before = world.audited().await;
    let head = world.link_all().await.chain;
    let old = chain_of(&before[..6]);
    let mut what = Purge {
        now: world.now(),
        deliveries: None,
        tombstones: None,
        audit: Some(Timestamp::from_millisecond(before[5].at_ms).unwrap()),
        again: false,
    };
    let asked = world.store().purge(what).await.unwrap();
    assert_eq!(asked.total(), 0, "how far is settled when it begins again");
    what.again = true;
    let purged = world.store().purge(what).await.unwrap();
    assert!(!purged.has_more);
    assert!(purged.others >= 6, "{purged:?}");

    let left = world.audited().await;
    assert_eq!(left[..4], before[6..]);
    let [said] = &left[4..] else {
        panic!("{left:?}")
    };
    assert_eq!((&*said.action, &*said.actor), ("AuditLogPurged", "System"));
    let details: serde_json::Value =
        serde_json::from_str(said.details.as_deref().unwrap()).unwrap();
    let hash = old.head.to_string();
    assert_eq!(details, serde_json::json!({ "Position": 6, "Hash": hash }));
    let newest = linked_to(&world, 11).await;
    for (kept, position) in [(head, 10), (old, 6), (newest, 11)] {
        let verified = verify(&world.database, Some(kept.head)).await.unwrap();
        assert_eq!((verified.chain, verified.purged), (newest, old));
        assert_eq!(verified.found, Some(position));
    }
    let head = chain_of(&before[..5]).head;
    let missing = verify(&world.database, Some(head)).await.unwrap_err();
    let (entries, purged) = (5, 6);
    let expected = Broken::NoSuchHead {
        head,
        entries,
        purged,
    };
    assert_eq!(missing, expected);

    // Nothing more is old enough, and what is left is guarded as before.
    assert_eq!(world.store().purge(what).await.unwrap().total(), 0);
    assert_eq!(world.audited().await, left);
    for refused in [
        "DELETE FROM audit_entries",
        "DELETE FROM audit_links",
        "DELETE FROM audit_purged",
        "UPDATE audit_purged SET position = 5",
    ] {
        let why = world.database.attack(refused).await.unwrap_err();
        assert!(why.contains("the audit log is append-only"), "{why}");
    }
    world.database.reopen().await;
    world.new_integration().await;
    let newest = linked_to(&world, 12).await;
    let verified = verify(&world.database, None).await.unwrap();
    assert_eq!((verified.chain, verified.purged), (newest, old));
}

/// Whoever cuts the log and says that it went by itself has to change what is written behind.
pub async fn what_went_otherwise_is_found<D: Attacked>() {
    let world = ten::<D>().await;
    world.link_all().await;
    let entries = world.audited().await;
    let what = Purge {
        now: world.now(),
        deliveries: None,
        tombstones: None,
        audit: Some(Timestamp::from_millisecond(entries[5].at_ms).unwrap()),
        again: true,
    };
    world.store().purge(what).await.unwrap();
    linked_to(&world, 11).await;
    let id = D::literal(entries[7].id);
    let cut = format!("{} DELETE FROM audit_entries WHERE id <= {id}", D::DROP);
    world.database.attack(&cut).await.unwrap();
    let broken = verify(&world.database, None).await.unwrap_err();
    assert!(
        matches!(broken, Broken::Changed { good: 6, .. }),
        "{broken:?}"
    );
}
