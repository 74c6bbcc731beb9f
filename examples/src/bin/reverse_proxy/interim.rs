//! Interim (1xx) responses for a connection that hyper serves (RFC 9110 §15.2).
//!
//! hyper's HTTP/1 server writes final responses only. Its connection is therefore given a [`Stream`],
//! which writes the bytes of interim responses between hyper's own. Whoever learns of one hands it to
//! a [`Sender`], from any task.
//!
//! # Who owns what
//!
//! The task of the connection owns the stream and the future of the service, and it alone writes.
//! Each request has one [`Turn`], owned by the future that answers it. A [`Sender`] travels in the
//! request's extensions, through the cache, to whatever asks the origin; it may outlive the turn, as
//! that of a refresh in the background does, and then sends nothing.
//!
//! # What holds
//!
//! 1. An interim response is begun by `poll_flush` alone. hyper flushes when nothing is left in its own
//!    buffer, so every byte that it was given before has been written.
//! 2. It is begun within a turn alone. A turn begins when hyper calls the service, which is after the
//!    whole of the response before went into hyper's buffer; it ends before the service returns, so
//!    before there is a byte of its own response. By 1 and 2 an interim response stands after the
//!    response to the request before and in front of its own, also where requests are pipelined.
//! 3. What was begun is finished before anything else is written: hyper may write `100 Continue` within
//!    a turn, when the service reads the request's body.
//! 4. [`Turn::end`] waits until all of it is begun; by 3 that is enough. A turn that is dropped, as when
//!    its client has left, discards what was not begun.
//! 5. No wake-up is lost: a flush that finds nothing leaves its waker under the lock under which it
//!    looked, and a sender that adds something takes it under the same. So an interim response is
//!    written at once, though hyper itself has nothing to write.
//! 6. What waits to be written is bounded ([`MOST_QUEUED`]): the origin cannot be slowed down, so what
//!    a client does not read is dropped beyond that. It is a hint, not the answer.

use crate::hop;
use bytes::{Buf, Bytes};
use hyper::{HeaderMap, Request, StatusCode, Version};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many bytes of interim responses wait for one client.
const MOST_QUEUED: usize = 64 * 1024;

/// A connection's stream, and what begins the turns of its requests.
pub(crate) fn interim<T>(inner: T) -> (Stream<T>, Turns) {
    let turns = Turns::default();
    let stream = Stream {
        inner,
        begun: Bytes::new(),
        turns: turns.clone(),
    };
    (stream, turns)
}

/// What a stream and the turns of its connection share.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The turn that it is.
    turn: Option<u64>,
    /// So many began.
    turns: u64,
    queued: VecDeque<Bytes>,
    /// Whoever flushes.
    flushes: Option<Waker>,
    /// Whoever ends a turn.
    ends: Option<Waker>,
}

impl Turns {
    /// Begins the turn of a request, and puts a [`Sender`] into its extensions; not for a client of
    /// HTTP/1.0, which must not be sent any (RFC 9110 §15.2).
    pub(crate) fn begin<B>(&self, request: &mut Request<B>) -> Turn {
        let number = {
            let mut state = self.state();
            state.turns += 1;
            state.turn = Some(state.turns);
            state.turns
        };
        if request.version() > Version::HTTP_10 {
            let turns = self.clone();
            request.extensions_mut().insert(Sender { turns, number });
        }
        Turn(self.clone())
    }

    /// What is to be written next. Where nothing is left, whoever waits for that is told; where there is
    /// nothing, the caller is woken as soon as there is.
    fn next(&self, cx: &Context<'_>) -> Option<Bytes> {
        let mut state = self.state();
        let next = state.queued.pop_front();
        if next.is_none() {
            state.flushes = Some(cx.waker().clone());
        }
        if state.queued.is_empty() {
            wake(state.ends.take());
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in which a request may be sent interim responses: until it is answered.
pub(crate) struct Turn(Turns);

impl Turn {
    /// Ends it, as soon as all that was sent within it is begun.
    pub(crate) async fn end(self) {
        poll_fn(|cx| self.poll_end(cx)).await;
    }

    fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.state();
        if !state.queued.is_empty() {
            state.ends = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.turn = None;
        Poll::Ready(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.turn = None;
        state.queued.clear();
    }
}

/// Sends interim responses to the client of one request, while it is that one's turn.
#[derive(Clone)]
pub(crate) struct Sender {
    turns: Turns,
    number: u64,
}

impl Sender {
    /// Queues one, and has the connection's task write it.
    pub(crate) fn send(&self, status: StatusCode, fields: &HeaderMap) {
        let head = head(status, fields);
        let mut state = self.turns.state();
        let queued: usize = state.queued.iter().map(Bytes::len).sum();
        if state.turn == Some(self.number) && queued + head.len() <= MOST_QUEUED {
            state.queued.push_back(head);
            wake(state.flushes.take());
        }
    }
}

fn head(status: StatusCode, fields: &HeaderMap) -> Bytes {
    let mut head = Vec::with_capacity(256);
    let reason = status.canonical_reason().unwrap_or_default();
    let written = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    written.expect("a vector takes all that is written");
    hop::write(&mut head, fields);
    head.into()
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What hyper reads from and writes to; it writes interim responses between.
pub(crate) struct Stream<T> {
    inner: T,
    /// What is left of the interim response that is being written.
    begun: Bytes,
    turns: Turns,
}

impl<T> Stream<T> {
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncWrite + Unpin> Stream<T> {
    /// Writes all there is.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_begun(cx))?;
            match self.turns.next(cx) {
                Some(next) => self.begun = next,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Finishes the one that was begun.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.begun.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.begun))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_begun(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_begun(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_begun(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::{
        Response,
        body::Incoming,
        header::{HeaderValue, LINK},
        server::conn::http1,
        service::service_fn,
    };
    use hyper_util::rt::TokioIo;
    use std::{convert::Infallible, time::Duration};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::mpsc,
        time::timeout,
    };

    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

    fn hints() -> (StatusCode, HeaderMap) {
        let link = HeaderValue::from_static("</a>");
        let fields = HeaderMap::from_iter([(LINK, link)]);
        (StatusCode::EARLY_HINTS, fields)
    }

    fn send_hints(sender: &Sender) {
        let (status, fields) = hints();
        sender.send(status, &fields);
    }

    /// A request that reached the service, and how it is answered.
    struct Asked {
        sender: Option<Sender>,
        answer: tokio::sync::oneshot::Sender<&'static str>,
        body: Incoming,
    }

    /// The client's end of a connection that takes `capacity` bytes on the way, and the requests.
    fn connection(capacity: usize) -> (DuplexStream, mpsc::UnboundedReceiver<Asked>) {
        let (client, server) = duplex(capacity);
        let (stream, turns) = interim(server);
        let (ask, asked) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let turn = turns.begin(&mut request);
            let (answer, answered) = tokio::sync::oneshot::channel();
            let sender = request.extensions().get().cloned();
            let body = request.into_body();
            let asked = Asked {
                sender,
                answer,
                body,
            };
            let _ = ask.send(asked);
            async move {
                let body = answered.await.unwrap_or("nobody answered");
                turn.end().await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
            }
        });
        let mut http = http1::Builder::new();
        let http = http.auto_date_header(false);
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        (client, asked)
    }

    async fn next(asked: &mut mpsc::UnboundedReceiver<Asked>) -> Asked {
        let asked = timeout(Duration::from_secs(30), asked.recv()).await;
        asked
            .expect("a request comes")
            .expect("the service is there")
    }

    async fn ask(client: &mut DuplexStream, request: &str) {
        client.write_all(request.as_bytes()).await.unwrap();
    }

    async fn expect(client: &mut DuplexStream, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        let read = timeout(Duration::from_secs(30), client.read_exact(&mut bytes)).await;
        read.expect("as many bytes come").unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    fn final_response(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

    #[tokio::test]
    async fn an_interim_response_is_written_while_the_service_works() {
        let (mut client, mut asked) = connection(1024);
        ask(&mut client, GET).await;
        let request = next(&mut asked).await;
        let sender = request.sender.unwrap();
        for _ in 0..3 {
            send_hints(&sender);
            expect(&mut client, HINTS).await;
        }
        request.answer.send("done").unwrap();
        expect(&mut client, &final_response("done")).await;
    }

    #[tokio::test]
    async fn what_was_sent_just_before_the_answer_stands_in_front_of_it() {
        let (mut client, mut asked) = connection(1024);
        for _ in 0..20 {
            ask(&mut client, GET).await;
            let request = next(&mut asked).await;
            send_hints(request.sender.as_ref().unwrap());
            request.answer.send("done").unwrap();
            expect(&mut client, HINTS).await;
            expect(&mut client, &final_response("done")).await;
        }
    }

    /// The connection takes three bytes on the way: each write is partial.
    #[tokio::test]
    async fn interim_responses_of_pipelined_requests_stand_between_their_responses() {
        const BODY: &str = "longer than what the connection takes on the way, by far";
        let (mut client, mut asked) = connection(3);
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let requests = GET.repeat(3);
        let write = async { writer.write_all(requests.as_bytes()).await.unwrap() };
        let answer = async {
            for _ in 0..3 {
                let request = next(&mut asked).await;
                let sender = request.sender.unwrap();
                send_hints(&sender);
                send_hints(&sender);
                request.answer.send(BODY).unwrap();
            }
        };
        let expected = format!("{HINTS}{HINTS}{}", final_response(BODY)).repeat(3);
        let mut bytes = vec![0; expected.len()];
        let read = async { reader.read_exact(&mut bytes).await.unwrap() };
        let all = async { tokio::join!(write, answer, read) };
        timeout(Duration::from_secs(30), all)
            .await
            .expect("all of it comes");
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_client_of_http_1_0_is_sent_none() {
        let (mut client, mut asked) = connection(1024);
        ask(&mut client, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(next(&mut asked).await.sender.is_none());
    }

    #[tokio::test]
    async fn a_sender_whose_turn_is_over_sends_nothing() {
        let (mut client, mut asked) = connection(1024);
        ask(&mut client, GET).await;
        let first = next(&mut asked).await;
        first.answer.send("first").unwrap();
        expect(&mut client, &final_response("first")).await;
        let old = first.sender.unwrap();
        send_hints(&old);
        ask(&mut client, GET).await;
        let second = next(&mut asked).await;
        send_hints(&old);
        second.answer.send("second").unwrap();
        expect(&mut client, &final_response("second")).await;
    }

    #[tokio::test]
    async fn hypers_own_100_and_an_interim_response_do_not_mix() {
        use http_body_util::BodyExt;

        const POST: &str = "POST / HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\n\
                            content-length: 4\r\n\r\n";
        const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
        // Of the interim response a part is on the way when hyper writes.
        let (mut client, mut asked) = connection(10);
        ask(&mut client, POST).await;
        let request = next(&mut asked).await;
        let sender = request.sender.unwrap();
        send_hints(&sender);
        let body = tokio::spawn(request.body.collect());
        let both = HINTS.len() + CONTINUE.len();
        let mut bytes = vec![0; both];
        client.read_exact(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let orders = [format!("{HINTS}{CONTINUE}"), format!("{CONTINUE}{HINTS}")];
        assert!(orders.contains(&text), "{text}");
        ask(&mut client, "body").await;
        assert_eq!(body.await.unwrap().unwrap().to_bytes(), "body");
        request.answer.send("done").unwrap();
        expect(&mut client, &final_response("done")).await;
    }

    /// Whether everything is written, after one attempt.
    async fn is_flushed<T: AsyncWrite + Unpin>(stream: &mut Stream<T>) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_flush(cx).is_ready())).await
    }

    fn request() -> Request<()> {
        Request::new(())
    }

    #[tokio::test]
    async fn what_was_begun_is_finished_before_other_bytes() {
        let (mut client, server) = duplex(10);
        let (mut stream, turns) = interim(server);
        let mut request = request();
        let turn = turns.begin(&mut request);
        send_hints(request.extensions().get().unwrap());
        send_hints(request.extensions().get().unwrap());
        assert!(!is_flushed(&mut stream).await);
        // Its client is gone: the second one is discarded, the first one stands in part.
        drop(turn);
        let mut bytes = vec![0; HINTS.len() + 4];
        let write = async {
            stream.write_all(b"more").await.unwrap();
            stream.flush().await.unwrap();
        };
        let read = async { client.read_exact(&mut bytes).await.unwrap() };
        let both = async { tokio::join!(write, read) };
        let written = timeout(Duration::from_secs(30), both).await;
        written.expect("no more is written than is read");
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{HINTS}more"));
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let (mut client, server) = duplex(2 * MOST_QUEUED);
        let (mut stream, turns) = interim(server);
        let mut request = request();
        let turn = turns.begin(&mut request);
        for _ in 0..2 * MOST_QUEUED / HINTS.len() {
            send_hints(request.extensions().get().unwrap());
        }
        stream.flush().await.unwrap();
        turn.end().await;
        drop(stream);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, HINTS.repeat(MOST_QUEUED / HINTS.len()));
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_is_an_error() {
        let (client, server) = duplex(10);
        let (mut stream, turns) = interim(server);
        let mut request = request();
        let _turn = turns.begin(&mut request);
        send_hints(request.extensions().get().unwrap());
        drop(client);
        assert!(stream.flush().await.is_err());
    }
}
