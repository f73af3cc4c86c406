//! A connection that blocks: CONNECT with a lasting session, packets out, packets in.

use crate::mqtt::{next_packet, subscribe};
use crate::Asked;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A broker that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold something, and those of them that were taken.
    filled: usize,
    taken: usize,
    /// The broker knew the session.
    pub is_present: bool,
}

impl Client {
    /// Connects; a lasting session is one without the flag for a clean one.
    pub fn connect(port: u16, name: &str, is_lasting: bool) -> io::Result<Client> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let flags = if is_lasting { 0 } else { 2 };
        let mut packet = vec![0x10, 0, 0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 0];
        packet.extend_from_slice(&(name.len() as u16).to_be_bytes());
        packet.extend_from_slice(name.as_bytes());
        packet[1] = u8::try_from(packet.len() - 2).map_err(io::Error::other)?;
        socket.write_all(&packet)?;
        let mut client = Client { socket, buffer: vec![0; 1 << 18], filled: 0, taken: 0, is_present: false };
        let (kind, body) = client.wait()?;
        match (kind, body.as_slice()) {
            (0x20, [present, 0]) => client.is_present = present & 1 == 1,
            _ => return Err(io::Error::other(format!("not let in: {kind:#x} {body:?}"))),
        }
        Ok(client)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Reads once, and gives every packet that is whole to `take`: first byte and body.
    pub fn read(&mut self, mut take: impl FnMut(u8, &[u8])) -> io::Result<()> {
        loop {
            let mut is_any = false;
            while let Some((kind, body, size)) = next_packet(&self.buffer[self.taken..self.filled]) {
                take(kind, body);
                self.taken += size;
                is_any = true;
            }
            if is_any {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        (self.filled, self.taken) = (self.filled - self.taken, 0);
        match self.socket.read(&mut self.buffer[self.filled..])? {
            0 => return Err(io::Error::other("the broker has closed the connection")),
            count => self.filled += count,
        }
        Ok(())
    }

    /// The next packet alone.
    fn wait(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((kind, body, size)) = next_packet(&self.buffer[self.taken..self.filled]) {
                let packet = (kind, body.to_vec());
                self.taken += size;
                return Ok(packet);
            }
            self.fill()?;
        }
    }

    /// Subscribes at QoS 1 and waits for SUBACK. Only where nothing else comes yet.
    pub fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        self.write(&subscribe(1, filter, 1))?;
        match self.wait()? {
            (0x90, body) if body == [0, 1, 1] => Ok(()),
            (kind, body) => Err(io::Error::other(format!("not subscribed: {kind:#x} {body:?}"))),
        }
    }

    /// DISCONNECT.
    pub fn leave(mut self) -> io::Result<()> {
        self.write(&[0xe0, 0])
    }
}

/// Makes a lasting session with a subscription, and leaves it.
pub fn make_session(asked: &Asked) -> io::Result<String> {
    let mut client = Client::connect(asked.port, &asked.client, true)?;
    client.subscribe(&asked.topic)?;
    let line = format!("{{\"present\":{}}}", client.is_present);
    client.leave()?;
    Ok(line)
}
