//! Accepting connections.

use crate::reception;
use crate::server::{Doors, StartError};
use crate::settings::Listener;
use crate::transport::tcp;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system may hold until they are accepted: room for a reconnect storm.
const BACKLOG: u32 = 4096;
/// How long accepting rests when the system has nothing left to accept with (file descriptors).
const REST: Duration = Duration::from_millis(100);

/// Binds one listener; `None` if it is optional and the machine lacks its address.
pub(crate) fn bind(listener: &Listener) -> Result<Option<TcpListener>, StartError> {
    match open(listener.address) {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if listener.optional && error.kind() != io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(StartError::Listen { address: listener.address, error }),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the connections of the last run to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the server closes its doors.
pub(crate) async fn accept(listener: TcpListener, doors: Arc<Doors>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = doors.closing() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match tcp::connection(stream, peer) {
                Ok(connection) => admit(connection, &doors, false),
                Err(error) => tracing::debug!(target: "aldis", "{peer}: {error}"),
            },
            Err(error) => {
                if let Some(more) = doors.refusals.allow() {
                    tracing::warn!(target: "aldis", "cannot accept a connection: {error}{more}");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Starts the Client of a connection, if there is a place for it.
pub(crate) fn admit(connection: crate::transport::Connection, doors: &Arc<Doors>, trusted: bool) {
    let Some(place) = doors.place() else {
        if let Some(more) = doors.refusals.allow() {
            tracing::warn!(
                target: "aldis",
                "refused: connection from {}: limits.connections are open{more}",
                connection.peer
            );
        }
        return;
    };
    let doors = Arc::clone(doors);
    crate::spawn(async move {
        // Boxed: what the reception needs is given back before the long life of the connection.
        if let Some(client) = Box::pin(reception::receive(connection, doors, trusted)).await {
            client.run().await;
        }
        drop(place);
    });
}
