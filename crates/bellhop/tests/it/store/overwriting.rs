//! What is erased is not in the file any more either, not even encrypted.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bellhop::{
    domain::integration::NewIntegration,
    store::{Erase, Store as _},
};
use rusqlite::Connection;

use super::{databases::Sqlite, world::World};

/// Enough to recognise it, and to find a piece of it in what is left of a page.
const PIECE: usize = 24;

fn sealed_bodies(file: &Path) -> Vec<Vec<u8>> {
    let file = Connection::open(file).unwrap();
    let mut select = file
        .prepare("SELECT body FROM messages WHERE is_sealed")
        .unwrap();
    let found = select.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}

/// How many pieces of these bodies are in the file.
fn pieces(file: &Path, bodies: &[Vec<u8>]) -> usize {
    let file = fs::read(file).unwrap();
    let pieces: HashSet<&[u8]> = bodies
        .iter()
        .flat_map(|body| body.chunks_exact(PIECE))
        .collect();
    let found: HashSet<&[u8]> = file
        .windows(PIECE)
        .filter(|window| pieces.contains(window))
        .collect();
    found.len()
}

#[tokio::test]
async fn nothing_of_an_erased_body_is_left_in_the_file() {
    let world: World<Sqlite> = World::new().await;
    // Some of them share a page; some need pages of their own.
    for length in [10, 10, 10, 900, 5_000, 20_000] {
        let new = NewIntegration {
            name: "x".repeat(length),
            ..world.integration_request()
        };
        world.create(new).await;
    }
    world.clock.advance(Duration::from_hours(1));
    let now = world.now();
    let folder = world.database.close().await;
    let file = folder.path().join("bellhop.db");
    let bodies = sealed_bodies(&file);
    assert_eq!(bodies.len(), 6);
    let before = pieces(&file, &bodies);
    assert!(before > 1_000, "{before}");

    let store = Sqlite::try_open(folder.path()).unwrap();
    let ended = now - Duration::from_mins(1);
    let again = true;
    let erased = store.erase(Erase { now, ended, again }).await.unwrap();
    assert_eq!(erased.bodies, 6);
    // The log is moved into the file, and cut to nothing.
    store.close().await.unwrap();
    assert_eq!(pieces(&file, &bodies), 0);
    let log = fs::metadata(folder.path().join("bellhop.db-wal"));
    assert!(log.is_ok_and(|log| log.len() == 0) || !folder.path().join("bellhop.db-wal").exists());
}
