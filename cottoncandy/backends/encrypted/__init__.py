"""Encryption on this side of the wire, around any backend: the store sees names, sizes and noise.

`EncryptedBackend` is a `Backend` over another one, so all that works on a store works on an encrypted one without
knowing of it. The format is that of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: https://eprint.iacr.org/2015/189):
the bytes in segments, each sealed with AES-256-GCM together with its number and whether it is the last. It is written
down in the docs' page on encryption.

Importing this imports none of it, and nothing imports the library for cryptography before a key is used.
"""
