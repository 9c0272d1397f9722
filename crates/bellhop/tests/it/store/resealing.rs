//! Sealing anew with a newer key, on both databases.

use std::{sync::Arc, time::Duration};

use bellhop::{
    domain::{access_token, integration::Command, secret_text::SecretText},
    id::{DeliveryId, IntegrationId, WebhookId},
    store::{
        Answer, Census, MessageBody, Receipt, Remember, Resealed, Standing, Store as _, StoreError,
        WebhookPatch, Write,
    },
    vault::RingKeyId,
};
use bellhop_webhook::Profile;

use super::{
    databases::{KEY, Keyed, Sqlite},
    postgres::{Postgres, cluster, execute, try_open_with},
    world::World,
};
use crate::support::random::SeededRandom;

const NEW: [u8; 32] = [8; 32];
const NEWER: [u8; 32] = [9; 32];

fn id(key: [u8; 32]) -> RingKeyId {
    RingKeyId::of(&key)
}

/// Seals anew until that is done. Says how many values.
async fn reseal<D: Keyed>(world: &World<D>) -> u64 {
    let mut values = 0;
    loop {
        let Resealed {
            values: some,
            unreadable,
            standing,
        } = world.store().reseal(world.now()).await.unwrap();
        assert_eq!(unreadable, 0);
        values += some;
        match standing {
            Standing::UnderWay => {}
            Standing::Done => return values,
            other => panic!("{other:?}"),
        }
    }
}

/// How many values each key has sealed.
fn counts(census: &Census, keys: [[u8; 32]; 2]) -> [u64; 2] {
    let of = |key| {
        let mut counted = census.by_key.iter();
        counted
            .find(|(found, _)| *found == id(key))
            .map_or(0, |(_, count)| *count)
    };
    let counts = keys.map(of);
    let all: u64 = census.by_key.iter().map(|(_, count)| *count).sum();
    assert_eq!(counts.iter().sum::<u64>(), all, "{census:?}");
    counts
}

/// Something in every sealed column, and what it must say as long as it lives.
struct Filled {
    webhook: WebhookId,
    integration: IntegrationId,
    deliveries: Vec<DeliveryId>,
    remember: Remember,
}

const TOKEN_MESSAGES: usize = 2;

impl Filled {
    async fn new<D: Keyed>(world: &World<D>) -> Self {
        let settings = WebhookPatch {
            profile: Some(Profile::V2025),
            headers: Some(vec![("x-tenant".into(), SecretText::new("hush"))]),
            ..WebhookPatch::default()
        };
        let webhook = world.new_webhook_with(settings).await;
        let integration = world.new_integration().await;
        let random = SeededRandom::new(31);
        let command = Command::RegenerateAccessToken {
            token: access_token::generate(integration, &random),
            overlap_until: world.now(),
        };
        world.command(integration, command).await;
        world.toggle(integration, 1).await;
        let remember = Remember {
            key: [3; 32],
            fingerprint: [4; 32],
            until: world.now() + Duration::from_hours(24),
            shows: |_| None,
            render: Arc::new(|_| Answer(b"shown once".to_vec())),
        };
        let write = Write::PutEnterprise {
            id: world.enterprise,
            name: "Hotel".into(),
        };
        let written = world.commit_once(write, Some(remember.clone())).await;
        assert!(matches!(written, Ok(Receipt::Done { .. })));
        let lane = world.lane(webhook, integration).await;
        Self {
            webhook,
            integration,
            deliveries: lane.iter().map(|each| each.id).collect(),
            remember,
        }
    }

    /// All that is sealed, opened.
    async fn told<D: Keyed>(&self, world: &World<D>) -> String {
        let webhook = world.webhook(self.webhook).await;
        let history = world.store().messages(self.integration, 0, 10).await;
        let mut told = format!(
            "{} {:?} {}",
            webhook.url.expose(),
            webhook
                .headers
                .iter()
                .map(|(name, value)| (name, value.expose()))
                .collect::<Vec<_>>(),
            webhook.secrets[0].text.expose()
        );
        let mut bodies: Vec<MessageBody> =
            history.unwrap().into_iter().map(|each| each.body).collect();
        for id in &self.deliveries {
            bodies.push(world.store().body(*id).await.unwrap().unwrap());
        }
        for body in bodies {
            match body {
                MessageBody::Bytes(bytes) => told.push_str(std::str::from_utf8(&bytes).unwrap()),
                MessageBody::Erased { .. } => panic!("erased"),
            }
        }
        let write = Write::PutEnterprise {
            id: world.enterprise,
            name: "Hotel".into(),
        };
        match world.commit_once(write, Some(self.remember.clone())).await {
            Ok(Receipt::Repeated(answer)) => told.push_str(str::from_utf8(&answer.0).unwrap()),
            other => panic!("{other:?}"),
        }
        told
    }
}

async fn everything_is_sealed_anew<D: Keyed>(mut world: World<D>) {
    let filled = Filled::new(&world).await;
    let told = filled.told(&world).await;
    assert!(told.contains("hush") && told.contains("AccessToken") && told.contains("shown once"));
    let asked = world.store().reseal(world.now()).await.unwrap();
    assert_eq!(asked.standing, Standing::OneKey);
    let before = world.database.census().await;
    let [old, _] = counts(&before, [KEY, NEW]);
    // URL, headers, secrets, an answer, and two bodies in both forms.
    assert!(old >= 4 + TOKEN_MESSAGES as u64, "{old}");
    assert_eq!(before.newest, None);

    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    assert_eq!(filled.told(&world).await, told, "a former key opens");
    assert_eq!(reseal(&world).await, old);
    let after = world.database.census().await;
    assert_eq!(counts(&after, [KEY, NEW]), [0, old]);
    let pass = after.newest.unwrap();
    assert_eq!((pass.key, pass.resealed), (id(NEW), old));
    assert_eq!(
        pass.ended.map(jiff::Timestamp::as_second),
        Some(world.now().as_second())
    );

    // The former key is not needed any more, and what was sealed with it is gone.
    world.database.reopen_with(&[NEW]).await.unwrap();
    assert_eq!(filled.told(&world).await, told);
    let refused = world.database.reopen_with(&[KEY]).await;
    assert!(matches!(refused, Err(StoreError::OtherKey)), "{refused:?}");
    world.database.reopen_with(&[NEWER, NEW]).await.unwrap();
    assert_eq!(reseal(&world).await, old);
}

async fn it_goes_on_after_reopening<D: Keyed>(mut world: World<D>) {
    const MANY: u64 = 400;
    for _ in 0..MANY {
        world.new_integration().await;
    }
    let [old, _] = counts(&world.database.census().await, [KEY, NEW]);
    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    let (mut values, mut reopened) = (0, 0);
    loop {
        let step = world.store().reseal(world.now()).await.unwrap();
        values += step.values;
        let census = world.database.census().await;
        assert_eq!(counts(&census, [KEY, NEW]), [old - values, values]);
        assert_eq!(census.newest.unwrap().resealed, values);
        if step.standing == Standing::Done {
            break;
        }
        if step.values > 0 {
            world.database.reopen_with(&[NEW, KEY]).await.unwrap();
            reopened += 1;
        }
    }
    assert_eq!(values, old);
    assert!(reopened > 0, "it was done in one step");
}

async fn a_change_meanwhile_wins<D: Keyed>(mut world: World<D>) {
    let mut webhooks = Vec::new();
    for _ in 0..20 {
        webhooks.push(world.new_webhook().await);
    }
    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    let store = world.store();
    let now = world.now();
    let sealing = async { while store.reseal(now).await.unwrap().standing != Standing::Done {} };
    let changing = async {
        for (n, id) in webhooks.iter().enumerate() {
            let patch = WebhookPatch {
                url: Some(SecretText::new(format!("https://receiver.example/{n}"))),
                ..WebhookPatch::default()
            };
            world.update(*id, patch).await;
        }
    };
    tokio::join!(sealing, changing);
    drop(store);
    world.database.reopen_with(&[NEW]).await.unwrap();
    for (n, id) in webhooks.iter().enumerate() {
        let url = world.webhook(*id).await.url;
        assert_eq!(url.expose(), format!("https://receiver.example/{n}"));
    }
}

/// Runs each on both databases.
macro_rules! on_both {
    ($($case:ident,)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(World::<Sqlite>::new().await).await;
            })*
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                if cluster().is_some() {
                    super::$case(World::<Postgres>::new().await).await;
                }
            })*
        }
    };
}

on_both! {
    everything_is_sealed_anew,
    it_goes_on_after_reopening,
    a_change_meanwhile_wins,
}

/// Two replicas get the new key one after the other, and a third never.
#[tokio::test]
async fn replicas_change_one_after_the_other() {
    if cluster().is_none() {
        return;
    }
    let mut world: World<Postgres> = World::new().await;
    let url = world.database.url();
    world.database.reopen_with(&[KEY, NEW]).await.unwrap();
    let other = try_open_with(&url, 2, &[NEW, KEY]).await.unwrap();
    world.new_webhook().await;
    let until_done = async |store: &bellhop::store::postgres::PostgresStore| {
        let mut values = 0;
        loop {
            let step = store.reseal(world.now()).await.unwrap();
            values += step.values;
            if step.standing == Standing::Done {
                return values;
            }
        }
    };
    assert!(until_done(&other).await > 0);
    // The one that still seals with the former key does not seal back.
    let behind = world.store().reseal(world.now()).await.unwrap();
    assert_eq!((behind.values, behind.standing), (0, Standing::Behind));
    world.new_webhook().await;
    let [old, new] = counts(&world.database.census().await, [KEY, NEW]);
    assert!(old > 0 && new > 0);
    // What it has sealed meanwhile is sealed anew once it has the key in front.
    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    assert_eq!(reseal(&world).await, old);
    assert_eq!(
        counts(&world.database.census().await, [KEY, NEW]),
        [0, old + new]
    );
    // A replica that does not know the key does not start.
    let late = try_open_with(&url, 3, &[KEY]).await;
    assert!(matches!(late, Err(StoreError::OtherKey)));
    other.close().await.unwrap();
}

/// What somebody else has locked is not waited for, and is met again.
#[tokio::test]
async fn it_waits_for_nobody() {
    if cluster().is_none() {
        return;
    }
    let mut world: World<Postgres> = World::new().await;
    let webhook = world.new_webhook().await;
    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    let client = super::copying::raw::client(&world.database.url()).await;
    client.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE";
    client.query(lock, &[&webhook.0]).await.unwrap();
    for _ in 0..30 {
        let step = world.store().reseal(world.now()).await.unwrap();
        assert_eq!(step.standing, Standing::UnderWay, "it is not through");
    }
    client.batch_execute("COMMIT").await.unwrap();
    assert!(reseal(&world).await > 0);
    world.database.reopen_with(&[NEW]).await.unwrap();
    assert!(
        world
            .webhook(webhook)
            .await
            .url
            .expose()
            .starts_with("https")
    );
}

/// What does not open stays, and does not hold the rest up.
#[tokio::test]
async fn a_damaged_value_stays_as_it_is() {
    if cluster().is_none() {
        return;
    }
    let mut world: World<Postgres> = World::new().await;
    let (damaged, whole) = (world.new_webhook().await, world.new_webhook().await);
    let spoil = format!(
        "UPDATE webhooks SET url_sealed = set_byte(url_sealed, 20, 255 - get_byte(url_sealed, 20)) WHERE id = '{}'",
        damaged.0
    );
    execute(&world.database.url(), &spoil).await;
    world.database.reopen_with(&[NEW, KEY]).await.unwrap();
    let (mut unreadable, mut values) = (0, 0);
    loop {
        let step = world.store().reseal(world.now()).await.unwrap();
        (unreadable, values) = (unreadable + step.unreadable, values + step.values);
        if step.standing == Standing::Done {
            break;
        }
    }
    assert_eq!((unreadable, values), (1, 3));
    let census = world.database.census().await;
    assert_eq!(counts(&census, [KEY, NEW]), [1, 3]);
    assert_eq!(census.newest.unwrap().unreadable, 1);
    assert!(world.webhook(whole).await.url.expose().starts_with("https"));
}
