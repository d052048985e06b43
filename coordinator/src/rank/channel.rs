//! Kinds of tie.

/// A kind of tie. Channels of one group are not independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// The same address, forward, reverse or in passive DNS.
    Address,
    /// The same CNAME target.
    Alias,
    /// An address or block that both allow to send mail.
    SpfAddress,
    /// The same name server.
    NameServer,
    /// The same two name servers, each of which may serve many.
    NameServerPair,
    /// The same responsible mailbox.
    Mailbox,
    /// The same mail host.
    MailHost,
    /// The same registrant or contact.
    Registrant,
    /// Registered at the same registrar within the hour.
    Burst,
    /// Named in the same certificate.
    Certificate,
    /// Said by a pair set or declared source.
    Related,
}

/// How many groups of channels there are.
pub const GROUPS: usize = 6;

impl Channel {
    /// Those that pairs make: what is used is one node.
    pub const OF_PAIRS: [Channel; 9] = [
        Channel::Address,
        Channel::Alias,
        Channel::SpfAddress,
        Channel::NameServer,
        Channel::Mailbox,
        Channel::MailHost,
        Channel::Registrant,
        Channel::Certificate,
        Channel::Related,
    ];

    /// The group: ties of one group count once.
    pub const fn group(self) -> usize {
        match self {
            Channel::Address | Channel::Alias | Channel::SpfAddress => 0,
            Channel::NameServer | Channel::NameServerPair | Channel::Mailbox => 1,
            Channel::MailHost => 2,
            Channel::Registrant | Channel::Burst => 3,
            Channel::Certificate => 4,
            Channel::Related => 5,
        }
    }

    /// The name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Address => "address",
            Channel::Alias => "alias",
            Channel::SpfAddress => "spf-address",
            Channel::NameServer => "name-server",
            Channel::NameServerPair => "name-server-pair",
            Channel::Mailbox => "responsible-mailbox",
            Channel::MailHost => "mail-host",
            Channel::Registrant => "registrant",
            Channel::Burst => "registration-burst",
            Channel::Certificate => "certificate",
            Channel::Related => "related",
        }
    }
}
