//! System tests of Lifeboat.
