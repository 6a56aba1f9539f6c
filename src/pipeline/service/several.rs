//! Several inputs of one request: prepared side by side, queued as one, each with an answer of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tower::Service as _;

use super::preparing::PreparedRows;
use super::{Answer, Error, Pipeline, Request, Shared};
use crate::batch::{self, Jobs};
use crate::value::Input;

impl tower::Service<Request<Vec<Input>>> for Pipeline {
    type Response = Vec<Result<Answer, Error>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    /// Always ready: a full queue is an answer, not a wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Prepares the inputs, queues the rows of those that can be prepared at once, and presents the answers in the order
    /// of the inputs. The request fails as a whole where its rows do not fit the queue, and then none is computed.
    /// Dropping the future drops the rows.
    fn call(&mut self, request: Request<Vec<Input>>) -> Self::Future {
        Box::pin(Arc::clone(&self.shared).answer_all(request))
    }
}

impl Shared {
    async fn answer_all(
        self: Arc<Self>,
        request: Request<Vec<Input>>,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let Request { input, top_k, deadline, priority } = request;
        let begun = Instant::now();
        let PreparedRows { rows: prepared, place } = self.prepare_all(input, deadline).await?;
        let prepare = begun.elapsed();
        let mut rows = Vec::with_capacity(prepared.len());
        let queued: Vec<_> = prepared
            .into_iter()
            .map(|prepared| {
                prepared.map(|prepared| {
                    let (facts, row) = self.row(prepared, prepare);
                    rows.push((row, facts.units));
                    facts
                })
            })
            .collect();
        let answers = self.batch.clone().call(Jobs { rows, deadline, priority });
        // From here on the queue counts them.
        drop(place);
        let mut answers = answers.await?.into_iter();
        let finish = |facts: Result<_, Error>| {
            let facts = facts?;
            let done = answers.next().unwrap_or(Err(batch::Error::Closed))?;
            self.finish(facts, done, top_k)
        };
        Ok(queued.into_iter().map(finish).collect())
    }
}
