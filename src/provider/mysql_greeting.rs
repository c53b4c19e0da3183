//! What a MySQL or MariaDB server says first, before any login: which of the two it is.
//!
//! The packet is `Protocol::HandshakeV10` of MySQL's client/server protocol: its length in three bytes and a sequence
//! number; the protocol's version (10), the server's version up to a NUL, the connection's id in four bytes, eight bytes
//! of a nonce and a NUL, then the lower half of the capabilities. MySQL sets the lowest bit of those
//! (`CLIENT_LONG_PASSWORD`, which MariaDB calls `CLIENT_MYSQL`); MariaDB does not, and names itself in its version unless
//! that was changed.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The length of a packet's header.
const HEADER: usize = 4;
/// More than any greeting has: versions of packagers are a few dozen bytes long.
const LONGEST: usize = 1024;
/// The version of the protocol that all supported servers greet with. Errors, which can come in its place, begin with
/// 255.
const PROTOCOL: u8 = 10;
/// Between the version's NUL and the capabilities: the connection's id, and the first part of the nonce with its NUL.
const BEFORE_CAPABILITIES: usize = 4 + 8 + 1;

/// Reads the first packet, with its header. What is too long for a greeting is left to the driver after the header.
pub(super) async fn read(server: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; HEADER];
    server.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    if let Ok(length) = usize::try_from(length)
        && length <= LONGEST
    {
        packet.resize(HEADER + length, 0);
        server.read_exact(&mut packet[HEADER..]).await?;
    }
    Ok(packet)
}

/// Whether a packet is the greeting of MySQL. Not if it is MariaDB's, or none.
pub(super) fn is_of_mysql(packet: &[u8]) -> bool {
    let Some((&PROTOCOL, greeting)) = packet.get(HEADER..).and_then(<[u8]>::split_first) else {
        return false;
    };
    let Some(end) = greeting.iter().position(|byte| *byte == 0) else {
        return false;
    };
    let version = String::from_utf8_lossy(&greeting[..end]).to_ascii_lowercase();
    let capabilities = greeting.get(end + 1 + BEFORE_CAPABILITIES);
    !version.contains("mariadb") && capabilities.is_some_and(|lowest| lowest & 1 != 0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As MySQL 9.7 greets, with the plugin `caching_sha2_password`.
    pub(crate) const MYSQL: &[u8] = b"\x49\0\0\0\x0a9.7.0\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\
        ijklmnopqrst\0caching_sha2_password\0";
    /// As MariaDB 11.8 greets, with the plugin `mysql_native_password`.
    pub(crate) const MARIADB: &[u8] = b"\x5c\0\0\0\x0a11.8.3-MariaDB-0+deb13u1\0\x08\0\0\0abcdefgh\0\xfe\xff\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\
        \x1d\0\0\0ijklmnopqrst\0mysql_native_password\0";

    #[test]
    fn the_servers_are_told_apart() {
        for (packet, is_mysql) in [
            (MYSQL, true),
            (MARIADB, false),
            // Its version can be set to anything.
            (b"\x20\0\0\0\x0a8.0.0\0\x08\0\0\0abcdefgh\0\xfe\xff", false),
            (
                b"\x20\0\0\0\x0a5.5.5-10.11.14-MariaDB\0\x08\0\0\0abcdefgh\0\xff\xff",
                false,
            ),
            (b"\x10\0\0\0\xff\x10\x04Too many connections", false),
            (b"\x03\0\0\0\x0a9.", false),
            (b"", false),
        ] {
            assert_eq!(is_of_mysql(packet), is_mysql, "{packet:?}");
        }
    }

    #[tokio::test]
    async fn one_packet_is_read_and_no_byte_more() {
        let stream = [MARIADB, b"more"].concat();
        let mut server = stream.as_slice();
        assert_eq!(read(&mut server).await.unwrap(), MARIADB);
        assert_eq!(server, b"more");
        let mut long = [0xff_u8, 0xff, 0xff, 0, 10].as_slice();
        assert_eq!(read(&mut long).await.unwrap(), [0xff, 0xff, 0xff, 0]);
        assert_eq!(long, [10]);
    }
}
