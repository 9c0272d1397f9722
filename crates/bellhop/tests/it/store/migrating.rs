//! Schemas: the two databases have twins, and an old one opens.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bellhop::store::Store;

use super::postgres::{TestDatabase, cluster, execute, open};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The migrations of a database, in order.
fn migrations(of: &str) -> Vec<PathBuf> {
    let folder = root().join("migrations").join(of);
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

fn names(of: &str) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    migrations(of).iter().map(name).collect()
}

/// Whoever changes one schema changes the other: the same numbers, the same names, and both are run.
#[test]
fn every_migration_has_its_twin() {
    let all = names("sqlite");
    assert_eq!(
        all,
        names("postgres"),
        "a migration has no twin in the other folder of migrations/"
    );
    for (position, name) in all.iter().enumerate() {
        let number = format!("{:04}_", position + 1);
        assert!(name.starts_with(&number), "{name} is not number {number}");
    }
    for database in ["sqlite", "postgres"] {
        let schema = format!("crates/bellhop/src/store/{database}/schema.rs");
        let runs = fs::read_to_string(root().join(&schema)).unwrap();
        for name in &all {
            let path = format!("migrations/{database}/{name}\"");
            assert!(runs.contains(&path), "{schema} does not run {name}");
        }
    }
}

#[tokio::test]
async fn a_database_of_each_former_version_opens_and_keeps_what_it_has() {
    if cluster().is_none() {
        return;
    }
    let all = migrations("postgres");
    for version in 1..=all.len() {
        let database = TestDatabase::new().await;
        for migration in &all[..version] {
            execute(&database.url(), &fs::read_to_string(migration).unwrap()).await;
        }
        let kept = format!(
            "CREATE TABLE schema_version (version bigint NOT NULL);
             INSERT INTO schema_version VALUES ({version});
             INSERT INTO enterprises VALUES ('00000000-0000-0000-0000-000000000001', 'Hotel', 1);"
        );
        execute(&database.url(), &kept).await;
        let store = open(&database.url(), 1).await;
        let page = super::world::ALL;
        assert_eq!(store.enterprises(page).await.unwrap()[0].name, "Hotel");
        assert!(store.webhooks(None, page).await.unwrap().is_empty());
        assert!(store.replays(None, page).await.unwrap().is_empty());
        store.close().await.unwrap();
    }
}
