use std::io::Write;

use super::*;

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().unwrap().compress_into(plain, Level::SEGMENT, &mut out).unwrap();
    out
}

fn unpacked(packed: &[u8], limit: u64) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![1, 2, 3];
    let done = Decompressor::new().unwrap().decompress_into(packed, Bytes(limit), &mut out);
    assert!(done.is_ok() || out.is_empty());
    assert!(out.capacity() as u64 <= limit.max(3), "{} bytes of memory for {limit}", out.capacity());
    done.map(|()| out)
}

/// What comes from a pipe: no content size.
fn streamed(plain: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    plain.for_each(|part| encoder.write_all(&part).unwrap());
    encoder.finish().unwrap()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&0x184D_2A50_u32.to_le_bytes(), length.to_le_bytes().as_slice(), content].concat()
}

const GIGABYTE: u64 = 1 << 30;

fn gigabyte_of_zeros() -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_n(vec![0; 1 << 20], 1 << 10)
}

#[test]
fn frames_say_their_size_and_come_back_whole_from_reused_contexts() {
    let mut compressor = Compressor::new().unwrap();
    let mut decompressor = Decompressor::new().unwrap();
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    for (size, level) in [(5_000_000, 3), (0, 3), (1, 1), (100_000, 19), (3, 3), (70_000, -5)] {
        let text: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[1]).collect();
        compressor.compress_into(&text, level, &mut packed).unwrap();
        assert_eq!(stated_size(&packed), Ok(Some(Bytes(u64::from(size)))));
        decompressor.decompress_into(&packed, Bytes(u64::from(size)), &mut plain).unwrap();
        assert_eq!(plain, text);
    }
}

#[test]
fn the_limit_is_exact() {
    let frame = packed(&[7; 1000]);
    assert_eq!(unpacked(&frame, 1000), Ok(vec![7; 1000]));
    assert_eq!(unpacked(&frame, 999), Err(CodecError::TooLarge { limit: Bytes(999) }));
    let unsized_frame = streamed(std::iter::once(vec![7; 100_000]));
    assert_eq!(stated_size(&unsized_frame), Ok(None));
    assert_eq!(unpacked(&unsized_frame, 100_000), Ok(vec![7; 100_000]));
    assert_eq!(unpacked(&unsized_frame, 1 << 24), Ok(vec![7; 100_000]));
    assert_eq!(unpacked(&unsized_frame, 99_999), Err(CodecError::TooLarge { limit: Bytes(99_999) }));
    assert_eq!(unpacked(&unsized_frame, 0), Err(CodecError::TooLarge { limit: Bytes(0) }));
}

#[test]
fn a_roomy_buffer_does_not_widen_the_limit() {
    let mut out = Vec::with_capacity(1 << 20);
    let mut decompressor = Decompressor::new().unwrap();
    for frame in [packed(&[7; 1000]), streamed(std::iter::once(vec![7; 1000]))] {
        assert!(decompressor.decompress_into(&frame, Bytes(999), &mut out).is_err());
        assert!(out.is_empty());
    }
}

#[test]
fn bombs_are_refused_in_bounded_memory() {
    let unsized_bomb = streamed(gigabyte_of_zeros());
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.set_pledged_src_size(Some(GIGABYTE)).unwrap();
    gigabyte_of_zeros().for_each(|part| encoder.write_all(&part).unwrap());
    let sized_bomb = encoder.finish().unwrap();
    assert_eq!(stated_size(&sized_bomb), Ok(Some(Bytes(GIGABYTE))));
    for bomb in [unsized_bomb, sized_bomb] {
        assert!(bomb.len() < 1 << 17);
        let limit = Bytes::mib(4);
        assert_eq!(unpacked(&bomb, limit.0), Err(CodecError::TooLarge { limit }));
    }
    // Many small frames add up as well.
    let many = packed(&[0; 1 << 20]).repeat(5);
    assert_eq!(unpacked(&many, 5 << 20).map(|plain| plain.len()), Ok(5 << 20));
    assert!(unpacked(&many, (5 << 20) - 1).is_err());
    // Sizes that would wrap around.
    for size in [1_u64 << 63, u64::MAX - 1, u64::MAX - 2] {
        let huge = [&[0x28, 0xB5, 0x2F, 0xFD, 0xE0], size.to_le_bytes().as_slice(), &[1, 0, 0]].concat();
        assert!(unpacked(&huge.repeat(2), 1 << 20).is_err(), "{size}");
    }
}

#[test]
fn frames_that_lie_about_their_size_are_refused() {
    let frame = packed(&[7; 1000]);
    // Byte 4 says how the size is written; 1000 is in two bytes, less 256.
    assert_eq!(frame[4] >> 6, 1);
    let at = frame.windows(2).position(|two| two == (1000_u16 - 256).to_le_bytes()).unwrap();
    for stated in [0_u16, 10, 743, 745, 60_000] {
        let mut lying = frame.clone();
        lying[at..at + 2].copy_from_slice(&stated.to_le_bytes());
        assert!(matches!(unpacked(&lying, 1 << 20), Err(CodecError::Damaged(_))), "{stated}");
    }
}

#[test]
fn several_frames_and_skippable_frames_are_taken_as_zstd_takes_them() {
    let two = [packed(b"one"), skippable(b"padding"), streamed(std::iter::once(b"two".to_vec()))].concat();
    assert_eq!(unpacked(&two, 100), Ok(b"onetwo".to_vec()));
    let padded = [packed(b"one"), skippable(b"")].concat();
    assert_eq!(unpacked(&padded, 3), Ok(b"one".to_vec()));
    assert_eq!(unpacked(&skippable(b"only"), 0), Ok(Vec::new()));
    assert_eq!(unpacked(&packed(b""), 0), Ok(Vec::new()));
}

#[test]
fn anything_but_whole_frames_is_refused() {
    let frame = packed(b"some text that is worth keeping");
    for length in 0..frame.len() {
        assert!(matches!(unpacked(&frame[..length], 100), Err(CodecError::Damaged(_))), "{length}");
    }
    for garbage in [&b"x"[..], b"\0", b"\n", &[0x28, 0xB5, 0x2F, 0xFD], &[0; 100]] {
        let trailed = [&frame, garbage].concat();
        assert!(matches!(unpacked(&trailed, 1000), Err(CodecError::Damaged(_))), "{garbage:?}");
        assert!(unpacked(garbage, 1000).is_err());
        let skipped = [&skippable(b"x"), garbage].concat();
        assert!(unpacked(&skipped, 1000).is_err());
    }
}

#[test]
fn json_goes_both_ways_and_errors_do_not_repeat_it() {
    let mut packed = Vec::new();
    Compressor::new().unwrap().pack_json(&vec!["secret"], &mut packed).unwrap();
    let mut decompressor = Decompressor::new().unwrap();
    assert_eq!(unpacked(&packed, 100), Ok(b"[\"secret\"]\n".to_vec()));
    assert_eq!(decompressor.unpack_json(&packed, Bytes(100)), Ok(vec!["secret".to_owned()]));
    let error = decompressor.unpack_json::<Vec<u8>>(&packed, Bytes(100)).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(decompressor.unpack_json::<Vec<String>>(&packed, Bytes(5)).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_a_value_or_an_error(tail: Vec<u8>, cut: u8, flip: u8) {
        let _ = unpacked(&tail, 1 << 16);
        let mut frame = [packed(&tail), streamed(std::iter::once(tail))].concat();
        let at = usize::from(cut) % frame.len();
        frame[at] ^= flip;
        let _ = unpacked(&frame, 1 << 16);
    }
}
