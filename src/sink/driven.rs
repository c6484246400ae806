//! A request's answer, awaited only as long as somebody reads the connection that it is to come over.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// The task that reads and writes a connection. It ends with it.
#[derive(Debug)]
pub(crate) struct Driver(Option<JoinHandle<()>>);

impl Driver {
    /// Has `connection` run on this runtime; its error is also that of the request.
    pub fn spawn(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Driver {
        Driver(Some(tokio::spawn(async move { drop(connection.await) })))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.0.as_mut().map(|task| Pin::new(task).poll(context)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(_)) | None => {
                self.0 = None;
                Poll::Ready(())
            }
        }
    }

    /// What `answer` gives; `None` where the connection has ended and never will.
    ///
    /// hyper hands a request to its connection through a channel. Where the connection ends at the moment in which one is put in,
    /// neither side may see it: then it has not been sent, and nobody says so.
    pub async fn answer<T>(&mut self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.poll_end(context).is_pending() => Poll::Pending,
            // What it said with its last breath counts.
            Poll::Pending => Poll::Ready(match answer.as_mut().poll(context) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            }),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("it does not wait for ever") })
    }

    #[test]
    fn a_request_that_its_connection_never_saw_is_not_waited_for() {
        run(async {
            let (close, closed) = oneshot::channel::<()>();
            let mut driver = Driver::spawn(async move {
                let _ = closed.await;
                Ok(())
            });
            let waiting = async {
                tokio::task::yield_now().await;
                drop(close);
                std::future::pending::<()>().await;
            };
            assert_eq!(driver.answer(waiting).await, None);
            assert_eq!(driver.answer(std::future::pending::<()>()).await, None, "nor is the next");
        });
    }

    #[test]
    fn what_a_connection_said_before_its_end_counts() {
        run(async {
            let (say, said) = oneshot::channel();
            let mut driver = Driver::spawn(async move {
                let _ = say.send("last");
                Ok(())
            });
            assert_eq!(driver.answer(said).await, Some(Ok("last")));
            // Ready with its second look, which the end of the driver brings about.
            let mut asked = 0;
            let late = poll_fn(move |_| {
                asked += 1;
                if asked > 1 { Poll::Ready("late") } else { Poll::Pending }
            });
            assert_eq!(driver.answer(late).await, Some("late"));
        });
    }
}
