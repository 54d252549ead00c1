package eventmill;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Puts a log around a service of the SDK: which of its methods were called, and how each call ended. */
final class Recorder {

  final Map<String, Map<String, Set<String>>> outcomes = new LinkedHashMap<>();
  private final Set<Class<?>> services = new LinkedHashSet<>();

  /** The service itself, behind its own interface. */
  <T> T record(Class<T> service, T implementation) {
    services.add(service);
    Map<String, Set<String>> methods =
        outcomes.computeIfAbsent(service.getSimpleName(), name -> new LinkedHashMap<>());
    Object proxy = Proxy.newProxyInstance(service.getClassLoader(), new Class<?>[] {service},
        (self, method, values) -> {
          Set<String> ended = methods.computeIfAbsent(method.getName(), name -> new LinkedHashSet<>());
          try {
            Object answer = method.invoke(implementation, values);
            ended.add(Optional.empty().equals(answer) ? "empty on 404" : "works");
            return answer;
          } catch (InvocationTargetException failure) {
            ended.add("`" + failure.getCause().getClass().getSimpleName() + "`");
            throw failure.getCause();
          }
        });
    return service.cast(proxy);
  }

  /** Methods of the recorded services that nobody has called. */
  List<String> uncalled() {
    return services.stream()
        .flatMap(service -> Arrays.stream(service.getMethods())
            .filter(method -> Modifier.isAbstract(method.getModifiers()))
            .map(Method::getName)
            .filter(name -> !outcomes.get(service.getSimpleName()).containsKey(name)))
        .toList();
  }
}
