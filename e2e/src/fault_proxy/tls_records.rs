//! Requests of an encrypted connection, as the sizes of TLS' records tell.

/// TLS records on their way (RFC 8446, section 5): a type, a version, a length, and that many bytes.
#[derive(Default)]
pub(super) struct Records {
    header: Vec<u8>,
    /// Bytes of the record's content that are still to come.
    left: usize,
}

impl Records {
    const HEADER: usize = 5;
    /// The type of all that is encrypted.
    const APPLICATION_DATA: u8 = 23;
    /// A request carries a token of several hundred bytes; the end of a handshake or of a connection takes less than 100.
    const REQUEST: usize = 300;

    /// How many of the records that begin in these bytes are requests.
    pub(super) fn requests(&mut self, mut bytes: &[u8]) -> u64 {
        let mut requests = 0;
        while !bytes.is_empty() {
            let content = self.left.min(bytes.len());
            self.left -= content;
            bytes = &bytes[content..];
            let header = (Self::HEADER - self.header.len()).min(bytes.len());
            self.header.extend(&bytes[..header]);
            bytes = &bytes[header..];
            if let [kind, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                requests += u64::from(kind == Self::APPLICATION_DATA && self.left > Self::REQUEST);
                self.header.clear();
            }
        }
        requests
    }
}
