"""The generated modules of the wire contract, ``protos/codemode.proto``."""
