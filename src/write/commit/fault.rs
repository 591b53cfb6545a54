//! A file system for tests that fails, or stops the machine, at a given call.
