//! Verifying: every row is read back from the target and compared with the source, which is read a second time.

use std::pin::pin;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::{
    Copied, CopyError, Progress,
    row::{Rows, fields, key_shown},
    source::Reading,
    table::Table,
    target::Target,
};

/// Rows between two words about how far it is.
const TOLD_EVERY: u64 = 1024;

/// Compares a table row for row.
pub async fn compare(
    table: &'static Table,
    mut reading: Reading,
    target: &Target<'_>,
    progress: &dyn Progress,
) -> Result<Copied, CopyError> {
    let mut given = pin!(target.give(table).await?);
    let (mut ours, mut theirs) = (Rows::bare(), Rows::framed());
    let mut digests = [Context::new(&SHA256), Context::new(&SHA256)];
    let mut rows = 0;
    loop {
        let our = loop {
            match ours.next() {
                Some(row) => break Some(row),
                None => match reading.pieces.recv().await {
                    Some(piece) => ours.push(&piece.bytes),
                    None => break None,
                },
            }
        };
        let their = loop {
            match theirs.next() {
                Some(row) => break Some(row),
                None => match given
                    .try_next()
                    .await
                    .map_err(|error| target.failed(error))?
                {
                    Some(piece) => theirs.push(&piece),
                    None => break None,
                },
            }
        };
        let (Some(our), Some(their)) = (&our, &their) else {
            if our.is_none() {
                reading.end().await?;
            }
            match (our, their) {
                (None, None) => break,
                (our, their) => return Err(differs(table, our.as_ref(), their.as_ref())),
            }
        };
        digests[0].update(our);
        digests[1].update(their);
        if our != their {
            return Err(differs(table, Some(our), Some(their)));
        }
        rows += 1;
        if rows % TOLD_EVERY == 0 {
            progress.did(TOLD_EVERY);
        }
    }
    progress.did(rows % TOLD_EVERY);
    let [our, their] = digests.map(|digest| {
        let bytes = digest.finish();
        *bytes.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    });
    if our != their {
        // Rows that are equal have equal digests.
        return Err(differs(table, None, None));
    }
    Ok(Copied {
        table: table.name,
        rows,
        sha256: our,
    })
}

/// Says how two rows differ, without a value: it may be a secret.
fn differs(table: &Table, our: Option<&Bytes>, their: Option<&Bytes>) -> CopyError {
    let key = |row: &Bytes| key_shown(table, row);
    let (row, what) = match (our, their) {
        (Some(our), Some(their)) if key(our) == key(their) => {
            let both = fields(our).into_iter().zip(fields(their));
            let columns: Vec<_> = both
                .zip(table.columns)
                .filter(|((our, their), _)| our != their)
                .map(|(_, column)| column.name)
                .collect();
            let what = format!("the target has another {}", columns.join(", "));
            (key(our), what)
        }
        (Some(our), Some(their)) => (
            key(our),
            format!("the target has {} in its place", key(their)),
        ),
        (Some(our), None) => (key(our), "the target has not got it".to_owned()),
        (None, Some(their)) => (key(their), "the target alone has it".to_owned()),
        (None, None) => (String::new(), "the digests are not the same".to_owned()),
    };
    CopyError::Differs {
        table: table.name,
        key: row,
        what,
    }
}
