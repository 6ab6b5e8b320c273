//! Verification levels, recovery time and recovery point.
