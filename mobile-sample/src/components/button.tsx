// SPDX-License-Identifier: Apache-2.0
import { Pressable, StyleSheet, Text } from 'react-native';
import { useTheme } from '../theme';

interface Props {
  readonly title: string;
  readonly onPress: () => void;
  readonly main?: boolean;
  readonly disabled?: boolean;
  /** For a button that is on or off. */
  readonly on?: boolean;
}

export function Button({ title, onPress, main = false, disabled = false, on }: Props) {
  const theme = useTheme();
  const filled = main || on === true;
  return (
    <Pressable
      accessibilityRole={on === undefined ? 'button' : 'switch'}
      accessibilityLabel={title}
      accessibilityState={{ disabled, ...(on !== undefined && { checked: on }) }}
      disabled={disabled}
      onPress={onPress}
      style={({ pressed }) => [
        styles.button,
        { borderColor: theme.line, backgroundColor: filled ? theme.accent : theme.card, opacity: pressed || disabled ? 0.6 : 1 },
      ]}>
      <Text style={[styles.text, { color: filled ? theme.onAccent : theme.accent }]}>{title}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  button: { minHeight: 44, paddingHorizontal: 16, paddingVertical: 10, borderRadius: 10, borderWidth: 1, justifyContent: 'center', alignItems: 'center' },
  text: { fontSize: 16, fontWeight: '600' },
});
