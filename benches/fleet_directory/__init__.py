"""The parts of benches/fleet-directory."""
