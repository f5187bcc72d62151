//! Little-endian integers and varints as the database's logs hold them. Nothing here panics,
//! whatever the bytes are.

/// Four bytes at an offset.
pub(super) fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Eight bytes at an offset.
pub(super) fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// Takes a varint from the front.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Adds a varint.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        bytes.push(low | 0x80);
        value >>= 7;
    }
    bytes.extend_from_slice(&value.to_le_bytes()[..1]);
}

/// Takes a varint length and as many bytes from the front.
pub(super) fn take_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (slice, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_to_their_end_and_not_beyond() {
        for (bytes, value, rest) in [
            (&[0u8, 9][..], Some(0), 1),
            (&[0x80, 1], Some(128), 0),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                Some(u64::MAX),
                0,
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                None,
                0,
            ),
            (&[0x80; 12], None, 2),
            (&[0x80], None, 0),
            (&[], None, 0),
        ] {
            let mut front = bytes;
            assert_eq!(
                (take_varint(&mut front), front.len()),
                (value, rest),
                "{bytes:?}"
            );
            let mut again = Vec::new();
            value
                .into_iter()
                .for_each(|value| put_varint(&mut again, value));
            assert!(bytes.starts_with(&again), "{bytes:?}");
        }
    }

    #[test]
    fn slices_end_where_their_length_says() {
        assert_eq!(take_slice(&mut &b"\x03abcd"[..]), Some(&b"abc"[..]));
        assert_eq!(take_slice(&mut &b"\x05abcd"[..]), None);
        assert_eq!(
            (
                le_u32(b"\x01\0\0", 0),
                le_u64(&[1; 9], 2),
                le_u32(&[0, 1, 0, 0, 0], 1)
            ),
            (None, None, Some(1))
        );
    }
}
