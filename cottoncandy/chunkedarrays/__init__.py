"""Arrays in chunks: a folder of raw arrays, and a table, written last, that makes one array of them.

`reader.StoredChunks` reads, `upload.ChunkUpload` writes; `graphs`, imported where it is used, hands both to dask. Few
arrays are in chunks: importing this imports none of it.
"""
