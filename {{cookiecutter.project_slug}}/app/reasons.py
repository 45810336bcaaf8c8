"""Why tokens are rejected. The log has the reason, and `make doctor` explains it."""

from enum import StrEnum


class Reason(StrEnum):
    """The rule that a token violates. Callers get the same 401 for every rejected token."""

    TOO_LONG = "token is too long"
    NOT_COMPACT = "token is not three segments of base64url"
    NOT_BASE64URL = "segment is not base64url"
    NOT_CANONICAL = "segment is not canonical base64url"
    NOT_JSON = "segment is not JSON in UTF-8"
    NOT_AN_OBJECT = "segment is not a JSON object"
    DUPLICATE_MEMBERS = "JSON object has duplicate members"
    UNSUPPORTED_HEADER = "header has a parameter that is not supported"
    ALG_NOT_TEXT = "alg is not text"
    KID_INVALID = "kid is not a key id"
    TYP = "typ is not that of an access token"
    # jinja: if cookiecutter.token_verification == "jwks"
    ALG_UNKNOWN = "alg is not one that Better Auth signs with"
    KID_MISSING = "kid is missing"
    KID_UNKNOWN = "kid is not in the key set"
    NO_KEY_SET = "key set: not fetched yet"  # a 503, because the token may be valid
    # jinja: endif
    ALG_OF_ANOTHER_KEY = "alg is not that of the key"
    SIGNATURE = "signature does not verify"
    EXP_INVALID = "exp is not a point in time"
    EXP_PASSED = "exp has passed"
    IAT_INVALID = "iat is not a point in time"
    IAT_IN_FUTURE = "iat is in the future"
    NBF_INVALID = "nbf is not a point in time"
    NBF_IN_FUTURE = "nbf is in the future"
    ISS = "iss is not the configured issuer"
    AUD = "aud does not name this service"
    SUB = "sub is not an identifier"
    CNF = "cnf binds the token to a key"
    SCOPE_INVALID = "scope is not text"
    CLIENT_ID_INVALID = "client_id is not text"
    AZP_INVALID = "azp is not text"
    CLIENT = "sub is a client, not a user"
