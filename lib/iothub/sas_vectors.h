// Printed by sas_vectors.py: tokens made by software that is not ours. For tests.
#pragma once

namespace holdfast::iothub::vectors {

inline constexpr char kUpperHex[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1&sig=kP33c6uJt1YsyZSTKGsT%2BhU8A4BApH4XTb1koUcDDj0%3D&se=1800003600";
inline constexpr char kLowerHex[] =
    "SharedAccessSignature "
    "sr=hub.example%2fdevices%2fdev1&sig=XC%2BG3flm1SiWjeLBSE9snTLaqfDKHNpbX1XzAPLSkNE%3D&se=1800003600";
inline constexpr char kNotEncoded[] =
    "SharedAccessSignature "
    "sr=hub.example/devices/dev1&sig=n%2BMjDlJKtLAeTcdY89whUQ%2FWwHGOfQA1gFdFEzJZFJg%3D&se=1800003600";
inline constexpr char kSecondary[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1&sig=u3%2FfZ7KJ1Yjg8%2FUR6YsweHNtniJYIDUT3jtfnFDCwW0%3D&se=1800003600";
inline constexpr char kGatewayOtherCase[] =
    "SharedAccessSignature "
    "sr=GW.Example%2Fdevices%2FDEV1&sig=LTx%2BsqnfLTPwOj%2FAV5d4Dk1eFRaOVRz0fTntNYZX4C8%3D&se=1800003600";
inline constexpr char kOtherHost[] =
    "SharedAccessSignature "
    "sr=other.example%2Fdevices%2Fdev1&sig=BlTFOZTJ5qEHWu0cS0tzawS%2FDMH%2B92mlU9znF27vc5g%3D&se=1800003600";
inline constexpr char kOtherDevice[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev2&sig=A4JRUuruDxktD0T3tetJE1BWyBFXC6yzwVdHCtXAexo%3D&se=1800003600";
inline constexpr char kFourParts[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1%2Fmessages&sig=X1WqjLXq2IpEKihJcWM%2BG%2B1keqP5T9LtifN1FnAHoCE%3D&se=1800003600";
inline constexpr char kFraction[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1&sig=GAktLPAe9HtmERXpOhk6RfC4jm4p0TuvYjXDNWEAyeU%3D&se=1800003600.75";
inline constexpr char kPolicyOtherOrder[] =
    "SharedAccessSignature "
    "se=1800003600&sig=kP33c6uJt1YsyZSTKGsT%2BhU8A4BApH4XTb1koUcDDj0%3D&sr=hub.example%2Fdevices%2Fdev1&skn="
    "iothubowner";
inline constexpr char kEmptyPolicy[] =
    "SharedAccessSignature "
    "sig=kP33c6uJt1YsyZSTKGsT%2BhU8A4BApH4XTb1koUcDDj0%3D&se=1800003600&sr=hub.example%2Fdevices%2Fdev1&skn=";
inline constexpr char kOddId[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fa%2525b%252B%253F%27&sig=moz4NW2zJkXEDSrEFjg8n3yvM9v7ilqnCDCrJ5Or2Js%3D&se=1800003600";
inline constexpr char kOddIdOnce[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fa%25b%2B%3F%27&sig=YuYhMnEG2avfEibmCeFCfLIpKnGOA0e74zaK0zBOdWw%3D&se=1800003600";
inline constexpr char kModule[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1%2Fmodules%2Fmod1&sig=SdIPPJrHzz6o2bKGmtrSrWikSgPLvcUgUNWapz8KxwA%3D&se=1800003600";
inline constexpr char kModuleByDevice[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1%2Fmodules%2Fmod1&sig=c6LIl4gz6dKoCJMJoztsGMIrlZVxfoPIz0%2FLEMnZWAc%3D&se="
    "1800003600";
inline constexpr char kDeviceByModule[] =
    "SharedAccessSignature "
    "sr=hub.example%2Fdevices%2Fdev1&sig=k1PKBurgQeIARFLS94TU2ZmTD9xfUSvUdUqlXjm7eIg%3D&se=1800003600";

}  // namespace holdfast::iothub::vectors
