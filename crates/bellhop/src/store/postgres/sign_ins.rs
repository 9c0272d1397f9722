//! Links and sessions of the dashboard: every replica knows them.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    alone::{Alone, Stop, not_now},
    connect::Failed,
    connection::{Ask, Connection, execute, query_opt},
    rows,
};
use crate::{
    clock::to_ms,
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        sign_in::{SignIn, SignInKind},
    },
    id::ApplicationId,
    store::{CommitError, LINK_IS_OVER, Noun, SignInWrite, StoreError, Written, sealed::corrupt},
};

const COLUMNS: &str =
    "hash, kind, scope, application_id, created_ms, idle_until_ms, expires_ms, key_hash";

type Outcome = Result<Written, Stop>;

pub async fn write(alone: &Alone<'_>, write: &SignInWrite, at: Timestamp) -> Outcome {
    match write {
        SignInWrite::Keep(sign_in) => keep(alone, sign_in, at).await,
        SignInWrite::UseLink { link, session } => use_link(alone, link, session, at).await,
        SignInWrite::Prolong {
            session,
            idle_until,
        } => {
            let hash: &[u8] = &session.0;
            let sql = "UPDATE sign_ins SET idle_until_ms = $2 WHERE hash = $1";
            execute(alone.on, sql, &[&hash, &to_ms(*idle_until)]).await?;
            Ok(Written::SignedIn)
        }
        SignInWrite::End { session, .. } => {
            let hash: &[u8] = &session.0;
            execute(alone.on, "DELETE FROM sign_ins WHERE hash = $1", &[&hash]).await?;
            Ok(Written::Deleted)
        }
    }
}

pub async fn find(on: &Connection, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM sign_ins WHERE hash = $1");
    let found = one(on, &sql, hash).await.map_err(|failed| failed.error)?;
    found.as_ref().map(sign_in).transpose()
}

/// Of two replicas that use one link at once, the one that deletes it has it.
async fn use_link(alone: &Alone<'_>, link: &TokenHash, session: &SignIn, at: Timestamp) -> Outcome {
    let sql = format!("DELETE FROM sign_ins WHERE hash = $1 AND kind = 'Link' RETURNING {COLUMNS}");
    let row = one(alone.on, &sql, *link).await?;
    let link = row.as_ref().map(sign_in).transpose()?;
    let link = link
        .filter(|link| link.kind == SignInKind::Link && link.is_open(at))
        .ok_or_else(|| not_now(LINK_IS_OVER))?;
    let session = SignIn {
        scope: link.scope,
        key: link.key,
        ..session.clone()
    };
    keep(alone, &session, at).await
}

async fn keep(alone: &Alone<'_>, sign_in: &SignIn, at: Timestamp) -> Outcome {
    if let Some(id) = sign_in.scope.application_id() {
        let sql = "SELECT 1 FROM applications WHERE id = $1";
        if query_opt(alone.on, sql, &[&id.0]).await?.is_none() {
            let noun = Noun::Application;
            return Err(Stop::Refused(CommitError::NotFound { noun, id: id.0 }));
        }
    }
    let over = "DELETE FROM sign_ins WHERE idle_until_ms <= $1";
    execute(alone.on, over, &[&to_ms(at)]).await?;
    let hash: &[u8] = &sign_in.hash.0;
    let sql = format!("INSERT INTO sign_ins ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    let key = sign_in.key.as_ref().map(|key| key.0.as_slice());
    execute(
        alone.on,
        &sql,
        &[
            &hash,
            &sign_in.kind.as_str(),
            &sign_in.scope.as_str(),
            &sign_in.scope.application_id().map(|id| id.0),
            &to_ms(sign_in.created),
            &to_ms(sign_in.idle_until),
            &to_ms(sign_in.expires),
            &key,
        ],
    )
    .await?;
    Ok(Written::SignedIn)
}

async fn one(on: &impl Ask, sql: &str, hash: TokenHash) -> Result<Option<Row>, Failed> {
    let hash: &[u8] = &hash.0;
    query_opt(on, sql, &[&hash]).await
}

fn sign_in(row: &Row) -> Result<SignIn, StoreError> {
    let application = rows::id_or_null::<ApplicationId>(row, 3)?;
    Ok(SignIn {
        hash: TokenHash(rows::hash(row, 0)?),
        kind: rows::text(row, 1)?,
        scope: Scope::from_parts(rows::get(row, 2)?, application)
            .ok_or_else(|| corrupt("sign_ins.scope"))?,
        created: rows::moment(row, 4)?,
        idle_until: rows::moment(row, 5)?,
        expires: rows::moment(row, 6)?,
        key: rows::hash_or_null(row, 7)?.map(TokenHash),
    })
}
