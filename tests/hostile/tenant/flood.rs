//! Everything that init reads from others: its sockets, and the output of a service.

use super::{STORAGE, Tenant};
use crate::luck::Luck;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

/// Where init listens.
pub const CONTROL: &str = "/opt/php/init.sock";
pub const HEALTH: &str = "health";

fn path(of: &str) -> PathBuf {
    if of == HEALTH { PathBuf::from(STORAGE).join("app/health.sock") } else { of.into() }
}

fn notify_name() -> Option<String> {
    std::env::var("NOTIFY_SOCKET").ok()?.strip_prefix('@').map(str::to_owned)
}

fn tell(socket: &UnixDatagram, name: &str, bytes: &[u8]) -> io::Result<()> {
    socket.send_to_addr(bytes, &SocketAddr::from_abstract_name(name)?).map(drop)
}

/// What a service says when it is ready.
pub fn ready() {
    let socket = UnixDatagram::unbound();
    if let (Some(name), Ok(socket)) = (notify_name(), socket) {
        let _ = tell(&socket, &name, b"READY=1");
    }
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub fn notify(tenant: &mut Tenant) -> io::Result<()> {
    let Some(name) = notify_name() else { return Ok(()) };
    let socket = socket()?;
    let long = format!("STATUS={}", "x".repeat(50_000));
    let messages: [&[u8]; 9] = [
        b"",
        b"READY=1",
        b"RELOADING=1",
        b"STOPPING=1",
        b"MAINPID=1",
        b"WATCHDOG=trigger",
        b"EXTEND_TIMEOUT_USEC=99999999999999999999",
        b"\0\xff\xfe\n\n=\n=x\nREADY",
        long.as_bytes(),
    ];
    for _ in 0..200 {
        let message = tenant.luck.pick(&messages);
        match tell(&socket, &name, message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            other => other?,
        }
    }
    Ok(())
}

/// Descriptors that come with a message are init's, unless it has the kernel close them.
pub fn notify_descriptors(_: &mut Tenant) -> io::Result<()> {
    let Some(name) = notify_name() else { return Ok(()) };
    let socket = socket()?;
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    let file = std::fs::File::open("/dev/null")?;
    let descriptors = [file.as_raw_fd(); 30];
    let message = [IoSlice::new(b"FDSTORE=1\nREADY=1")];
    for _ in 0..20 {
        let rights = [ControlMessage::ScmRights(&descriptors)];
        sendmsg(socket.as_raw_fd(), &message, &rights, MsgFlags::empty(), Some(&address))?;
    }
    Ok(())
}

fn connect(to: &str) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path(to))?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(stream)
}

/// Connections that say nothing, or half a request, and are held.
pub fn connections(tenant: &mut Tenant, to: &str) -> io::Result<()> {
    let half = tenant.luck.pick(&["", "{\"v\":1,\"request\":", "GET /metr", "GET /livez HTTP/1.1\r\nX: "]);
    if tenant.held.len() > 200 {
        tenant.held.clear();
    }
    for _ in 0..40 {
        let mut stream = connect(to)?;
        let _ = stream.write_all(half.as_bytes());
        tenant.held.push(stream);
    }
    Ok(())
}

/// Requests that are answered, refused, or no requests at all.
pub fn requests(tenant: &mut Tenant, to: &str) -> io::Result<()> {
    let noise = noise(&mut tenant.luck);
    let samples: [&[u8]; 8] = [
        b"{\"v\":1,\"request\":\"status\"}\n",
        b"{\"v\":1,\"request\":\"restart\",\"names\":[\"all\"]}\n",
        b"{\"v\":1,\"request\":\"logs\",\"names\":[],\"lines\":4000000000,\"follow\":true}\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez?verbose HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"\0\0\0\0\n\n\n\xff",
        &noise,
    ];
    for _ in 0..8 {
        let sample = tenant.luck.pick(&samples);
        let mut stream = connect(to)?;
        let _ = stream.write_all(sample);
        if tenant.luck.one_in(2) {
            let mut answer = vec![0; 64 << 10];
            let read = stream.read(&mut answer).unwrap_or(0);
            tenant.see(&answer[..read], to);
        }
    }
    Ok(())
}

fn noise(luck: &mut Luck) -> Vec<u8> {
    (0..4000).map(|_| luck.next().to_le_bytes()[0]).collect()
}

pub enum Output {
    Half,
    Nuls,
    Long,
    Many,
}

/// Lines that a reader of lines does not expect.
pub fn output(what: Output) -> io::Result<()> {
    let text = match what {
        Output::Half => b"half a line, which may be all that ever comes".to_vec(),
        Output::Nuls => b"NULs \0\0\0\0 and \xff\xfe and \x1b[2J\r\n".repeat(20),
        Output::Long => vec![b'l'; 300_000],
        Output::Many => b"line\n".repeat(5000),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}
