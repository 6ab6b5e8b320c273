use super::*;

#[test]
fn run_ids_say_their_time_and_sort_by_it() {
    let id = RunId::new(Timestamp::new(1_763_923_456, 123_999_999), [0xab; 8]);
    assert_eq!(id.to_string(), "20251123t184416123z-abababababababab");
    assert_eq!(id.to_string().len(), RUN_ID_LEN);
    assert_eq!(id.to_string().parse(), Ok(id));
    let later = RunId::new(Timestamp::new(1_763_923_456, 124_000_000), [0; 8]);
    assert!(id < later && id.to_string() < later.to_string());
    for bad in ["", "20251323t184416123z-abababababababab", "20251123T184416123z-abababababababab"] {
        assert!(bad.parse::<RunId>().is_err(), "{bad}");
    }
}

#[test]
fn names_cannot_escape() {
    for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "A", "a b", "a\nb", "-a", "ä"] {
        assert!(bad.parse::<ObjectName>().is_err(), "{bad:?}");
    }
    assert!("packs/ab/0123.x_y-z".parse::<ObjectName>().is_ok());
    assert!("a/b".parse::<Label>().is_err());
    assert!("a".repeat(64).parse::<Label>().is_err());
    assert_eq!("_system".parse(), Ok(Tenant::System));
    assert!("_other".parse::<Tenant>().is_err());
}

#[test]
fn hashes_have_one_spelling() {
    let id = SegmentId::from_bytes([0x1f; 32]);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!(id.to_string().to_uppercase().parse::<SegmentId>().is_err());
    assert_eq!(id.prefix().to_string(), "1f1f1f1f1f1f1f1f");
}
