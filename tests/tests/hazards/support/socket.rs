//! Bytes on a socket.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection whose client is not careful.
#[derive(Debug)]
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed already; what it answered is what counts.
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// All that the server says until it closes.
    pub(crate) async fn rest(mut self) -> String {
        let mut answer = Vec::new();
        let _ = self.0.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the server says up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            match self.0.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One exchange: writes, and reads until the server closes.
    pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
        let mut raw = Self::connect(address).await;
        raw.write(bytes).await;
        raw.rest().await
    }
}

/// How many responses these are.
pub(crate) fn responses(answer: &str) -> usize {
    answer.matches("HTTP/1.1 ").count()
}
