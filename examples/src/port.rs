//! Ports of this machine's own address, 127.0.0.1.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpSocket};

/// Listens on a port that was chosen by `--port` or `PORT`; 0 takes any free one.
///
/// # Errors
///
/// Says why it cannot, and how to choose another.
pub fn listen(port: u16) -> Result<TcpListener, String> {
    bind(port).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::AddrInUse => format!("port {port} is in use"),
            _ => format!("cannot listen on port {port}: {error}"),
        };
        format!(
            "{problem}; choose another by --port N or the environment variable PORT (0 takes any \
             free one)"
        )
    })
}

/// As `TcpListener::bind`, but for more connections that come at once: those beyond 128 would be
/// tried again after a second.
fn bind(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(1024)
}

/// Listens where nobody else does, and says where that is.
///
/// # Errors
///
/// Where no port is free, in words.
pub async fn listen_anywhere() -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("cannot listen on a free port: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// One that nobody listens on at this moment.
///
/// # Errors
///
/// Where there is none, in words.
pub fn free() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|error| format!("there is no free port: {error}"))
}
