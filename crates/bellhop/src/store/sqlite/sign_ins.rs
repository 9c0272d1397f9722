//! Links and sessions of the dashboard.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    apply::{Apply, database},
    values::text,
};
use crate::{
    clock::{from_ms, to_ms},
    domain::{
        access_token::TokenHash,
        api_key::Scope,
        sign_in::{SignIn, SignInKind},
    },
    store::{CommitError, LINK_IS_OVER, SignInWrite, StoreError, Written, sealed::corrupt},
};

type Outcome = Result<Written, CommitError>;

pub fn write(apply: &Apply<'_>, write: &SignInWrite, at: Timestamp) -> Outcome {
    match write {
        SignInWrite::Keep(sign_in) => keep(apply.connection, sign_in, at),
        SignInWrite::UseLink { link, session } => use_link(apply.connection, link, session, at),
        SignInWrite::Prolong {
            session,
            idle_until,
        } => {
            let sql = "UPDATE sign_ins SET idle_until_ms = ?2 WHERE hash = ?1";
            execute(apply.connection, sql, params![session, to_ms(*idle_until)])?;
            Ok(Written::SignedIn)
        }
        SignInWrite::End { session, .. } => {
            let sql = "DELETE FROM sign_ins WHERE hash = ?1";
            execute(apply.connection, sql, params![session])?;
            Ok(Written::Deleted)
        }
    }
}

pub fn find(connection: &Connection, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT hash, kind, scope, application_id, created_ms, idle_until_ms, expires_ms, key_hash \
         FROM sign_ins WHERE hash = ?1",
    )?;
    let mut rows = select.query([hash])?;
    rows.next()?.map(sign_in).transpose()
}

fn use_link(connection: &Connection, link: &TokenHash, session: &SignIn, at: Timestamp) -> Outcome {
    let link = find(connection, *link)?
        .filter(|link| link.kind == SignInKind::Link && link.is_open(at))
        .ok_or_else(|| CommitError::NotNow(LINK_IS_OVER.into()))?;
    let sql = "DELETE FROM sign_ins WHERE hash = ?1";
    execute(connection, sql, params![link.hash])?;
    let session = SignIn {
        scope: link.scope,
        key: link.key,
        ..session.clone()
    };
    keep(connection, &session, at)
}

fn keep(connection: &Connection, sign_in: &SignIn, at: Timestamp) -> Outcome {
    if let Some(id) = sign_in.scope.application_id() {
        let exists = connection
            .prepare_cached("SELECT 1 FROM applications WHERE id = ?1")
            .and_then(|mut select| select.query_row([id], |_| Ok(())).optional())
            .map_err(database)?;
        exists.ok_or(CommitError::NotFound {
            noun: crate::store::Noun::Application,
            id: id.0,
        })?;
    }
    let over = "DELETE FROM sign_ins WHERE idle_until_ms <= ?1";
    execute(connection, over, params![to_ms(at)])?;
    execute(
        connection,
        "INSERT INTO sign_ins VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            sign_in.hash,
            sign_in.kind.as_str(),
            sign_in.scope.as_str(),
            sign_in.scope.application_id(),
            to_ms(sign_in.created),
            to_ms(sign_in.idle_until),
            to_ms(sign_in.expires),
            sign_in.key,
        ],
    )?;
    Ok(Written::SignedIn)
}

fn execute(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<usize, CommitError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map_err(database)
}

fn sign_in(row: &Row<'_>) -> Result<SignIn, StoreError> {
    let scope: String = row.get(2)?;
    Ok(SignIn {
        hash: row.get(0)?,
        kind: text(row, 1)?,
        scope: Scope::from_parts(&scope, row.get(3)?).ok_or_else(|| corrupt("sign_ins.scope"))?,
        created: from_ms(row.get(4)?),
        idle_until: from_ms(row.get(5)?),
        expires: from_ms(row.get(6)?),
        key: row.get(7)?,
    })
}
