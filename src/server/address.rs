//! Where a listener stands: an address with a port, or the file of a Unix socket.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// `127.0.0.1:4317`, `localhost:4317`, `unix:///run/floe.sock`, `/run/floe.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
        if let Some(path) = path.or(text.starts_with('/').then_some(text)) {
            return if path.is_empty() {
                Err(format!("expected a path such as unix:///run/floe.sock, found `{text}`"))
            } else {
                Ok(Address::Unix(PathBuf::from(path)))
            };
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok(),
            None => text.parse().ok(),
        };
        let expected =
            || format!("expected an address and a port such as 127.0.0.1:4317, or unix:///run/floe.sock, found `{text}`");
        address.map(Address::Tcp).ok_or_else(expected)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A socket that listens, and is not served yet.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// The same within the runtime.
pub(super) enum Served {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file when the listener goes")] SocketFile),
}

/// Removes the file of a Unix socket when its listener goes.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever removed it before has done it for us.
        let _ = fs::remove_file(&self.0);
    }
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Bound {
    pub(super) fn bind(address: &Address) -> io::Result<(Bound, Address)> {
        match address {
            Address::Tcp(address) => {
                let socket = std::net::TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                let address = socket.local_addr()?;
                Ok((Bound::Tcp(socket), Address::Tcp(address)))
            }
            Address::Unix(path) => {
                clear(path)?;
                let socket = StdUnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
                socket.set_nonblocking(true)?;
                Ok((Bound::Unix(socket, file), address.clone()))
            }
        }
    }

    pub(super) fn serve(self) -> io::Result<Served> {
        Ok(match self {
            Bound::Tcp(socket) => Served::Tcp(TcpListener::from_std(socket)?),
            Bound::Unix(socket, file) => Served::Unix(UnixListener::from_std(socket)?, file),
        })
    }
}

impl Served {
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Served::Tcp(socket) => {
                let (stream, _peer) = socket.accept().await?;
                // Its absence costs latency only.
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Served::Unix(socket, _) => Box::new(socket.accept().await?.0),
        })
    }
}

/// Removes a socket that a killed process left. One that somebody listens on, and a file that is no socket, stay.
fn clear(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there"));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")),
    }
}
