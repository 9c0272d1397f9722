//! A client that does not read its answer holds a connection and the answer's memory: it is given up.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A stream whose writes fail once the other side has taken less than it was given for too long. Whoever takes all that is
/// there now and then may take as long as it likes.
#[derive(Debug)]
pub struct Impatient<S> {
    stream: S,
    patience: Duration,
    is_behind: bool,
    until: Pin<Box<Sleep>>,
}

impl<S> Impatient<S> {
    /// Waits so long.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            is_behind: false,
            until: Box::pin(sleep(patience)),
        }
    }

    /// Of so many bytes so many were taken, or none yet.
    fn taken(
        &mut self,
        context: &mut Context<'_>,
        given: usize,
        taken: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &taken {
            Poll::Ready(Ok(taken)) if *taken >= given => self.is_behind = false,
            Poll::Ready(Err(_)) => {}
            Poll::Ready(Ok(_)) | Poll::Pending => {
                if !self.is_behind {
                    self.is_behind = true;
                    self.until.as_mut().reset(Instant::now() + self.patience);
                }
                if taken.is_pending() {
                    ready!(self.until.as_mut().poll(context));
                    let why = "the client does not read its answer";
                    return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, why)));
                }
            }
        }
        taken
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(context, bytes.len(), taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let given = slices.iter().map(|slice| slice.len()).sum();
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.taken(context, given, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_given_up() {
        let (stream, _client) = duplex(64);
        let mut stream = Impatient::new(stream, PATIENCE);
        stream.write_all(&[0; 64]).await.unwrap();
        let began = Instant::now();
        let given_up = stream.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(given_up.kind(), ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_now_and_then_is_given_up_as_well() {
        let (stream, mut client) = duplex(64);
        let mut stream = Impatient::new(stream, PATIENCE);
        let reading = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(10)).await;
                if client.read_u8().await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let given_up = stream.write_all(&[0; 128]).await.unwrap_err();
        assert_eq!(given_up.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() <= PATIENCE + Duration::from_secs(10));
        drop(stream);
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_all_in_time_may_be_slow_for_ever() {
        let (stream, mut client) = duplex(64);
        let mut stream = Impatient::new(stream, PATIENCE);
        let reading = tokio::spawn(async move {
            let mut all = [0; 64];
            for _ in 0..20 {
                sleep(Duration::from_secs(50)).await;
                client.read_exact(&mut all).await.unwrap();
            }
        });
        for _ in 0..20 {
            stream.write_all(&[0; 64]).await.unwrap();
        }
        reading.await.unwrap();
    }
}
