#include "services/router/client_topics.h"

#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

const ClientTopics kDevice(Identity{"dev1", ""});
const ClientTopics kModule(Identity{"dev1", "mod1"});

TEST(ClientTopicsTest, TelemetryWithAndWithoutBagAndTrailingSlash) {
  for (const char* topic : {"devices/dev1/messages/events", "devices/dev1/messages/events/"}) {
    const PublishTopic t = kDevice.Classify(topic);
    EXPECT_EQ(t.kind, PublishKind::kTelemetry) << topic;
    EXPECT_EQ(t.bag, "");
  }
  EXPECT_EQ(kDevice.Classify("devices/dev1/messages/events/%24.mid=1&a=b%2Fc").bag, "%24.mid=1&a=b%2Fc");
  EXPECT_EQ(kDevice.Classify("devices/dev1/messages/events/a=b&flag&empty=/").bag, "a=b&flag&empty=");
  EXPECT_EQ(kModule.Classify("devices/dev1/modules/mod1/messages/events/%24.on=out").bag, "%24.on=out");
}

TEST(ClientTopicsTest, AnotherIdentityIsForbidden) {
  for (const char* topic : {"devices/dev2/messages/events/", "devices/dev1/modules/mod1/messages/events/",
                            "devices/dev11/messages/events", "x/devices/dev1/messages/events/",
                            "devices/dev1/messages/eventsX", "devices/dev1/messages/devicebound/", "t"}) {
    const PublishTopic t = kDevice.Classify(topic);
    EXPECT_EQ(t.kind, PublishKind::kForbidden) << topic;
    EXPECT_FALSE(t.reason.empty());
  }
  EXPECT_EQ(kModule.Classify("devices/dev1/messages/events/").kind, PublishKind::kForbidden);
  EXPECT_EQ(kModule.Classify("devices/dev1/modules/mod2/messages/events/").kind, PublishKind::kForbidden);
}

// The contract's trap: a malformed bag that is acknowledged and dropped. Here the connection is closed instead.
TEST(ClientTopicsTest, MalformedBagIsForbidden) {
  for (const char* bag : {"a=1&a=2", "a=1&%61=2", "=x", "a=%zz", "a=b=c", "&a=1", "a=1&&b=2", "a/b"}) {
    const PublishTopic t = kDevice.Classify(std::string("devices/dev1/messages/events/") + bag);
    EXPECT_EQ(t.kind, PublishKind::kForbidden) << bag;
    EXPECT_FALSE(t.reason.empty()) << bag;
  }
}

TEST(ClientTopicsTest, TwinAndMethods) {
  EXPECT_EQ(kDevice.Classify("$iothub/twin/GET/?$rid=1").rid, "1");
  EXPECT_EQ(kDevice.Classify("$iothub/twin/PATCH/properties/reported/?$rid=aB-9&$version=2").rid, "aB-9");
  EXPECT_EQ(kDevice.Classify("$iothub/twin/PATCH/properties/reported/").kind, PublishKind::kReportedPatch);
  EXPECT_EQ(kDevice.Classify("$iothub/twin/GET/").kind, PublishKind::kForbidden);
  EXPECT_EQ(kDevice.Classify("$iothub/methods/res/200/?$rid=1").kind, PublishKind::kMethodResponse);
}

TEST(ClientTopicsTest, DocumentedFiltersOnly) {
  for (const char* filter : {"devices/dev1/messages/devicebound/#", "$iothub/twin/res/#",
                             "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"}) {
    EXPECT_TRUE(kDevice.MaySubscribe(filter)) << filter;
  }
  for (const char* filter :
       {"devices/dev1/modules/mod1/inputs/#", "devices/dev1/modules/mod1/#", "$iothub/methods/POST/#"}) {
    EXPECT_TRUE(kModule.MaySubscribe(filter)) << filter;
  }
  for (const char* filter :
       {"#", "devices/#", "devices/dev2/messages/devicebound/#", "devices/dev1/#", "$iothub/#", "a"}) {
    EXPECT_FALSE(kDevice.MaySubscribe(filter)) << filter;
    EXPECT_FALSE(kModule.MaySubscribe(filter)) << filter;
  }
  EXPECT_FALSE(kModule.MaySubscribe("devices/dev1/messages/devicebound/#"));
  for (const char* filter : {"$holdfast/link", "$holdfast/clients/#"}) {
    EXPECT_TRUE(kModule.MaySubscribe(filter)) << filter;
    EXPECT_FALSE(kDevice.MaySubscribe(filter)) << filter;
  }
  EXPECT_FALSE(kModule.MaySubscribe("devices/dev1/modules/mod2/inputs/#"));
}

TEST(ClientTopicsTest, SubscriptionsSayWhatAClientWaitsFor) {
  EXPECT_EQ(kDevice.InterestsOf({}), Interests());
  const Interests device = kDevice.InterestsOf({{"devices/dev1/messages/devicebound/#", 1}, {"$iothub/twin/res/#", 0}});
  EXPECT_EQ(device, (Interests{.messages = true, .messages_qos = 1, .twin_responses = true}));
  const Interests module = kModule.InterestsOf({{"devices/dev1/modules/mod1/inputs/#", 0},
                                                {"devices/dev1/modules/mod1/#", 1},
                                                {"$iothub/methods/POST/#", 0},
                                                {"$iothub/twin/PATCH/properties/desired/#", 0}});
  EXPECT_EQ(module, (Interests{.messages = true, .messages_qos = 1, .desired_properties = true, .methods = true}));
}

}  // namespace
}  // namespace holdfast::router
