"""What clients of plain HTTP take in place of this machine's certificates, slow to read."""

import ssl

#: Trusts nobody: no connection here is encrypted.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
