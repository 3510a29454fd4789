// Runs job.sql in a Flink of its own inside this process: java -cp 'lib/*' Run.java job.sql
// ${NAME} is taken from the environment. The last line says how long the last statement ran, from
// its submission to its end. After a kill it goes on from the newest finished checkpoint.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

public class Run {
    private static final Pattern SET = Pattern.compile("SET '(.*)' = '(.*)'");

    public static void main(String[] arguments) throws Exception {
        String text = Pattern.compile("\\$\\{(\\w+)}").matcher(Files.readString(Path.of(arguments[0])))
            .replaceAll(found -> Matcher.quoteReplacement(System.getenv(found.group(1))));
        Configuration configuration = new Configuration();
        configuration.setString("parallelism.default", System.getenv("WORKERS"));
        checkpoint().ifPresent(path ->
            configuration.setString("execution.state-recovery.path", path.toUri().toString()));
        TableEnvironment tables = TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        double seconds = 0;
        double began = 0;
        for (String part : text.replaceAll("(?m)^--.*$", "").split(";\\s*\n")) {
            String statement = part.strip();
            Matcher set = SET.matcher(statement);
            if (set.matches()) {
                tables.getConfig().set(set.group(1), set.group(2));
            } else if (!statement.isEmpty()) {
                TableResult result = tables.executeSql(statement);
                long submitted = System.nanoTime();
                began = System.currentTimeMillis() / 1e3;
                result.await();
                seconds = (System.nanoTime() - submitted) / 1e9;
            }
        }
        System.out.printf("{\"began\": %f, \"seconds\": %f, \"version\": \"%s\"}%n",
            began, seconds, EnvironmentInformation.getVersion());
        System.exit(0);
    }

    private static Optional<Path> checkpoint() throws IOException {
        Path folder = Path.of(System.getenv("FOLDER"), "checkpoints");
        if (!Files.isDirectory(folder)) {
            return Optional.empty();
        }
        try (var files = Files.walk(folder)) {
            return files.filter(file -> file.endsWith("_metadata")).map(Path::getParent)
                .max(Comparator.comparing(Run::modified));
        }
    }

    private static long modified(Path file) {
        return file.toFile().lastModified();
    }
}
