//! Transitions: the state, its message and the deliveries of the message, as groups.

use async_trait::async_trait;

use super::{Shared, connect::Failed, connection::settled_soon, group::Group, queue::Write};
use crate::store::{Commit, CommitError, Receipt, StoreError};

/// The queue of transitions.
pub struct Transitions;

#[async_trait]
impl Write for Transitions {
    type Asked = Commit;
    type Answer = Result<Receipt, CommitError>;

    async fn write(shared: &Shared, asked: &[Commit]) -> Result<Vec<Self::Answer>, Failed> {
        let connection = shared.writers.get().await?;
        // All that is sent together is a future of its own inside: too large for the stack of whoever waits.
        let written = settled_soon(connection, async |connection| {
            let transaction = connection.transaction();
            let mut group = Group::load(&transaction, shared, asked).await?;
            let mut answers = Vec::with_capacity(asked.len());
            for commit in asked {
                answers.push(group.apply(commit)?);
            }
            Box::pin(group.write(&transaction)).await?;
            Ok(answers)
        });
        Box::pin(written).await
    }

    fn failed(error: StoreError) -> Self::Answer {
        Err(CommitError::Store(error))
    }
}
