"""RFC 9529, section 3: an EDHOC trace with method 3 and suite 2, after a try with suite 6.

Every value that edhoc.py computes or takes, under the RFC's names.
"""


def _hex(*lines):
    return bytes.fromhex("".join(lines))


# The initiator tries suite 6 first.
MESSAGE_1_SUITE_6 = _hex(
    "03065820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa90e",
)
ERROR_SUITE_2 = _hex("0202")

# Ephemeral and static private keys.
X = _hex("368ec1f69aeb659ba37d5a8d45b21bdc0299dceaa8ef235f3ca42ce3530f9525")
Y = _hex("e2f4126777205e853b437d6eaca1e1f753cdcc3e2c69fa884b0a1a640977e418")
SK_I = _hex("fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b")
SK_R = _hex("72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac")

# Public keys, x coordinates.
G_X = _hex("8af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b6")
G_Y = _hex("419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d5")
PK_I = _hex("ac75e9ece3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb6")
PK_R = _hex("bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac93622046dd44f0")

# Identifiers and credentials.
C_I = _hex("37")
C_R = _hex("27")
CRED_I = _hex(
    "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ec",
    "e3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7",
    "d37ecb52a387d257e6db3c2a93df21ff3affc8",
)
CRED_R = _hex(
    "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148",
    "ddc21791a12afbcbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c",
    "224c51eabf6072",
)
ID_CRED_I = _hex("a104412b")
ID_CRED_R = _hex("a1044132")

# What is sent.
MESSAGE_1 = _hex("0382060258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b637")
MESSAGE_2 = _hex(
    "582b419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d59862a1eef9e0e7e1886f",
    "cd",
)
MESSAGE_3 = _hex("52e562097bc417dd5919485ac7891ffd90a9fc")
MESSAGE_4 = _hex("4828c966b7ca304f83")

# What is derived.
H_MESSAGE_1 = _hex("ca02cabda5a8902749b42f711050bb4dbd52153e87527594b39f50cdf019888c")
TH_2 = _hex("356efd53771425e008f3fe3a86c83ff4c6b16e57028ff39d5236c182b202084b")
TH_3 = _hex("adaf67a78a4bcc91e018f8882762a722000b2507039df0bc1bbf0c161bb3155c")
TH_4 = _hex("c902b1e3a4326c93c5551f5f3aa6c5ecc0246806765612e52b5d99e6059d6b6e")
PRK_2E = _hex("5aa0d69f3e3d1e0c479f0b8a486690c9802630c3466b1dc92371c982563170b5")
PRK_3E2M = _hex("0ca3d3398296b3c03900987620c11f6fce70781c1d1219720f9ec08c122d8434")
PRK_4E3M = _hex("81cc8a298e357044e3c466bb5c0a1e507e01d49238aeba138df94635407c0ff7")
PLAINTEXT_2 = _hex("2732480943305c899f5c54")
PLAINTEXT_3 = _hex("2b48623c91df41e34c2f")
MAC_2 = _hex("0943305c899f5c54")
MAC_3 = _hex("623c91df41e34c2f")
A_3 = _hex(
    "8368456e637279707430405820adaf67a78a4bcc91e018f8882762a722000b2507039df0bc1bbf0c161bb315",
    "5c",
)
K_3 = _hex("8e7a30042000f7900e8174131f75f3ed")
IV_3 = _hex("6d8300c1e23b56153ae70ee457")
A_4 = _hex(
    "8368456e637279707430405820c902b1e3a4326c93c5551f5f3aa6c5ecc0246806765612e52b5d99e6059d6b",
    "6e",
)
K_4 = _hex("d3c77872b6eeb508911bdbd308b2e6a0")
IV_4 = _hex("04ff0f44456e96e217853c3601")
PRK_OUT = _hex("2c71afc1a9338a940bb3529ca734b886f30d1aba0b4dc51beeaeabdfea9ecbf8")

# What OSCORE gets, before and after a key update.
MASTER_SECRET = _hex("f9868f6a3aca78a05d1485b35030b162")
MASTER_SALT = _hex("ada24c7dbfc85eeb")
UPDATE_CONTEXT = _hex("a01158fdb820890cd6be169602b8bcea")
PRK_OUT_UPDATED = _hex("f979537743fe0bd6b9b141ddbd79656c52e6dc7c50ad807754d74d07e87d0d16")
MASTER_SECRET_UPDATED = _hex("49f72fac02b4658bda21e2dac66fc374")
MASTER_SALT_UPDATED = _hex("dd8b24f2aa9b011a")
