//! dt: the vectors, what it prints, what it starts, and real clients and servers of ssh.

mod vectors;
