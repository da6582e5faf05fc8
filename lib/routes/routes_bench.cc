// What routes cost, in ns per evaluation:   nice build/release/bin/routes_bench
#include <benchmark/benchmark.h>

#include "lib/routes/bag_message.h"
#include "lib/routes/route_table.h"
#include "lib/routes/test_message.h"

namespace holdfast::routes {
namespace {

constexpr BagMessageParts kParts = {
    .device_id = "edge1",
    .module_id = "sensor",
    .property_bag =
        "severity=high&site=plant-7&temperature=31.5&%24.ct=application%2Fjson&%24.ce=utf-8&%24.on=readings",
    .body = R"({"machine": {"temperature": 31.5, "pressure": 1.2, "name": "press-4"}, "ambient": {"humidity": 24},
                "history": [20, 30, 40], "timeCreated": "2026-11-25T07:00:00Z"})"};

void Evaluate(benchmark::State& state, const char* text) {
  const auto condition = Condition::Compile(text);
  const BagMessage message(kParts);
  for (auto _ : state) benchmark::DoNotOptimize(condition->Evaluate(message));
}
BENCHMARK_CAPTURE(Evaluate, literal, "3 = 3");
BENCHMARK_CAPTURE(Evaluate, property, "severity = 'high'");
BENCHMARK_CAPTURE(Evaluate, number, "as_number(temperature) > 30");
BENCHMARK_CAPTURE(Evaluate, three_properties,
                  "severity = 'high' AND starts_with(site, 'plant') AND as_number(temperature) > 30");
BENCHMARK_CAPTURE(Evaluate, lower, "lower(severity) = 'high'");
BENCHMARK_CAPTURE(Evaluate, system_property, "IS_DEFINED($connectionModuleId)");
BENCHMARK_CAPTURE(Evaluate, body_parsed_each_time, "$body.machine.temperature > 30");

// As in router: the message made from what came in, and all routes on it.
void EvaluateTable(benchmark::State& state) {
  std::vector<RouteDefinition> routes = {{.name = "up", .text = "FROM /messages/* INTO $upstream"}};
  for (int i = 1; i < state.range(0); ++i) {
    routes.push_back({.name = "r" + std::to_string(i),
                      .text = "FROM /messages/modules/sensor/* WHERE severity = 'level" + std::to_string(i) +
                              "' INTO BrokeredEndpoint('/modules/m" + std::to_string(i) + "/inputs/i')"});
  }
  const auto table = RouteTable::Compile(std::move(routes));
  for (auto _ : state) {
    const BagMessage message(kParts);
    benchmark::DoNotOptimize((*table)->Evaluate(message));
  }
}
BENCHMARK(EvaluateTable)->Arg(1)->Arg(5)->Arg(20);

void CompileRoute(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        Route::Compile("FROM /messages/* WHERE severity = 'high' AND as_number(temperature) > 30 INTO $upstream"));
  }
}
BENCHMARK(CompileRoute);

}  // namespace
}  // namespace holdfast::routes

BENCHMARK_MAIN();
