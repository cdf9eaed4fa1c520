//! The socket that a service tells of itself through: sd_notify(3).
//!
//! It has a name in the abstract space that the kernel chooses, so it needs no directory, and nobody can take the name
//! before. Anyone in the same network namespace may send to it, the other containers of an ECS task too; the kernel tells
//! with each datagram who sent it.
#![expect(unsafe_code, reason = "automatic bind, SCM_CREDENTIALS")]

use super::{Pid, check};
use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// Who sent a datagram, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `None`: a process of another PID namespace.
    pub pid: Option<Pid>,
    pub uid: u32,
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub length: usize,
    /// The datagram was longer than the buffer.
    pub cut: bool,
    pub sender: Option<Sender>,
}

/// A socket that never blocks, and the value of NOTIFY_SOCKET for it.
pub fn socket() -> io::Result<(File, String)> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: three numbers.
    let raw = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the kernel has just made `raw`, so it is open and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let on: libc::c_int = 1;
    // SAFETY: the value is read, and its size is told.
    check(unsafe {
        libc::setsockopt(
            raw,
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            ptr::from_ref(&on).cast(),
            length_of::<libc::c_int>(),
        )
    })?;
    // SAFETY: an all-zero sockaddr_un is a valid value of plain numbers.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or_default();
    // SAFETY: the address is read. With the family alone as its length the kernel chooses a name: unix(7), autobind.
    check(unsafe { libc::bind(raw, ptr::from_ref(&address).cast(), length_of::<libc::sa_family_t>()) })?;
    let mut length = length_of::<libc::sockaddr_un>();
    // SAFETY: address and length are valid for writing, and the length is that of the address.
    check(unsafe { libc::getsockname(raw, ptr::from_mut(&mut address).cast(), &raw mut length) })?;
    let length = usize::try_from(length).unwrap_or_default().saturating_sub(size_of::<libc::sa_family_t>());
    // The name begins with a NUL, which NOTIFY_SOCKET spells "@"; the kernel's own are five hexadecimal digits.
    let name: String =
        address.sun_path.iter().take(length).skip(1).map(|byte| char::from(byte.to_ne_bytes()[0])).collect();
    if name.is_empty() {
        return Err(io::Error::other("the kernel gave the socket no name"));
    }
    Ok((socket.into(), format!("@{name}")))
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

/// Room for the credentials, aligned as a cmsghdr must be.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives one datagram. Descriptors that come with it are closed by the kernel, since there is no room for them:
/// that is also what ends sd_notify_barrier(3).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; 64]);
    // SAFETY: an all-zero msghdr is a valid value of numbers and null pointers.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: a number from a number.
    let room = unsafe { libc::CMSG_SPACE(length_of::<libc::ucred>()) };
    message.msg_controllen = usize::try_from(room).unwrap_or_default() as _;
    // SAFETY: buffer and control block are valid for writing, and their lengths are told; CMSG_SPACE of a ucred is 32
    // bytes on 64-bit Linux, half of the block.
    let length =
        unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    Ok(Received { length, cut: message.msg_flags & libc::MSG_TRUNC != 0, sender: sender(&message) })
}

fn sender(message: &libc::msghdr) -> Option<Sender> {
    // SAFETY: the kernel has filled the message, whose control block lives.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
        return None;
    }
    // SAFETY: credentials are what such a header is followed by, and the kernel writes all of them or no header; they need
    // not be aligned.
    let credentials = unsafe { libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned() };
    Some(Sender { pid: Pid::new(credentials.pid), uid: credentials.uid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn a_datagram_comes_with_its_sender() {
        let (socket, name) = socket().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(receive(&socket, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let address = SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to_addr(b"READY=1", &address).unwrap();
        client.send_to_addr(&[b'x'; 17], &address).unwrap();
        let own = Sender { pid: Some(Pid::current()), uid: crate::sys::users::own_uid() };
        let received = receive(&socket, &mut buffer).unwrap();
        assert_eq!(received, Received { length: 7, cut: false, sender: Some(own) });
        assert_eq!(&buffer[..7], b"READY=1");
        assert_eq!(
            receive(&socket, &mut buffer).unwrap(),
            Received { length: 16, cut: true, sender: Some(own) }
        );
    }

    #[test]
    fn every_socket_has_a_name_of_its_own() {
        let (one, other) = (socket().unwrap(), socket().unwrap());
        assert_ne!(one.1, other.1);
    }
}
