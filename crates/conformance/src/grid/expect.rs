//! What has to be seen after a packet, and the reason codes that fit a fault.
//!
//! MQTT 5 lets a server say why it closes, and does not oblige it to find the one best code. 0x80 says that it
//! does not want to tell and 0x83 that it goes by a rule of its own; they fit everything, and so do malformed
//! packet and protocol error, whose border is not sharp.

/// What has to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// The connection is closed; if something is said before, with one of these codes.
    Closed(&'static [u8]),
    /// CONNACK with one of these codes, and then the connection is closed.
    Rejected(&'static [u8]),
    /// As [`Expect::Closed`], or a SUBACK that refuses the filter.
    ClosedOrRefused(&'static [u8]),
    /// The connection is closed, or goes on as if the packet had not been there: MQTT 3.1 says what may not be
    /// sent, and not what follows if it is.
    NotTaken,
    /// The packet is answered, has its effect, and the connection goes on.
    Served(Answer),
    /// The standard leaves it open. It is closed or served, and nothing between.
    Open,
}

/// How a good packet is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Not at all.
    Nothing,
    /// With the packet that begins with this byte and has the same identifier.
    Packet(u8),
    /// With a PINGRESP.
    Pingresp,
    /// With a CONNACK of success.
    Connack,
    /// Not at all, and the connection ends: a DISCONNECT. Whether the will is published then.
    End {
        /// It is.
        will: bool,
    },
}

macro_rules! codes {
    ($($(#[$note:meta])* $name:ident $($code:literal)*;)*) => {
        $($(#[$note])* pub(super) const $name: &[u8] = &[0x80, 0x81, 0x82, 0x83, $($code),*];)*
    };
}

codes! {
    /// Malformed packets and protocol errors.
    FAULT;
    /// The length is absurd, or too much.
    LENGTH 0x95;
    /// The topic name.
    TOPIC_NAME 0x90;
    /// The topic filter.
    TOPIC_FILTER 0x8F;
    /// The topic alias.
    TOPIC_ALIAS 0x94;
    /// The QoS.
    QOS 0x9B;
    /// The client identifier; 2 is the return code of 3.x.
    CLIENT_ID 0x85 0x02;
    /// User name and password; 4 is the return code of 3.x, which names malformed ones.
    USER 0x86 0x87 0x04;
    /// The protocol's name or level; 1 is the return code of 3.x, in which a server may answer a version that it
    /// does not know.
    PROTOCOL 0x84 0x01;
    /// A server without shared subscriptions.
    SHARED 0x8F 0x9E;
    /// Authentication that was not begun.
    AUTHENTICATION 0x87 0x8C;
    /// What a second CONNECT may be closed for: being the second, or what is wrong in it.
    SECOND 0x84 0x85 0x86 0x87 0x8C 0x90 0x95 0x9B;
    /// What was sent before a CONNECT. The server does not know yet which version it speaks.
    FIRST 0x01 0x02 0x03 0x04 0x05 0x84 0x87 0x8C 0x90 0x95;
}

/// An identifier in the two standards that have them, each empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clause(pub(super) &'static str, pub(super) &'static str);

/// No statement with an identifier; the text says it without one.
pub(super) const TEXT: Clause = Clause("", "");
