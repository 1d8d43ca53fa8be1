// SPDX-License-Identifier: Apache-2.0
import { StyleSheet, Text, TextInput, View, type TextInputProps } from 'react-native';
import { useTheme } from '../theme';

interface Props extends TextInputProps {
  readonly label: string;
  readonly hint?: string;
}

export function Field({ label, hint, multiline, ...input }: Props) {
  const theme = useTheme();
  return (
    <View style={styles.field}>
      <Text style={[styles.label, { color: theme.text }]}>{label}</Text>
      <TextInput
        accessibilityLabel={label}
        accessibilityHint={hint}
        autoCapitalize="none"
        autoCorrect={false}
        spellCheck={false}
        multiline={multiline}
        placeholderTextColor={theme.faint}
        style={[styles.input, multiline && styles.tall, { color: theme.text, borderColor: theme.line, backgroundColor: theme.card }]}
        {...input}
      />
      {hint !== undefined && <Text style={{ color: theme.faint }}>{hint}</Text>}
    </View>
  );
}

const styles = StyleSheet.create({
  field: { gap: 6 },
  label: { fontSize: 16, fontWeight: '600' },
  input: { minHeight: 44, borderWidth: 1, borderRadius: 10, paddingHorizontal: 12, paddingVertical: 10, fontSize: 16 },
  tall: { minHeight: 110, textAlignVertical: 'top' },
});
